select headrace.start_workflow(%(id)s::text::uuid, %(name)s::text, %(policy)s::text, %(callbacks)s::text::jsonb,
                               %(jobs)s::text::jsonb, %(nodes)s::text::jsonb)
