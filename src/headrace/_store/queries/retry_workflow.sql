select headrace.retry_workflow(%(id)s::uuid)::text
