-- Whoever has signed in begins anew.
delete from headrace.access_try t where t.key = any(%(keys)s::text[])
