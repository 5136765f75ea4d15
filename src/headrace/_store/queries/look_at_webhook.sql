-- What a webhook is set to.
select to_jsonb(w) - 'created_at' from headrace.webhook w where w.name = %(name)s
