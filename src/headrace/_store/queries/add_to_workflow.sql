select headrace.add_to_workflow(%(id)s::text::uuid, %(jobs)s::text::jsonb, %(nodes)s::text::jsonb)::text
