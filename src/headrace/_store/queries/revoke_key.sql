-- A key counts no more, from now on and for ever.
update headrace.access_key k set revoked_at = now()
where k.revoked_at is null and (k.name = %(name)s or k.prefix = %(name)s)
returning k.name
