select exists (select from headrace.access_user)
