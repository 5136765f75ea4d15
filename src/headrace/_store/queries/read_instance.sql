select id::text from headrace.instance
