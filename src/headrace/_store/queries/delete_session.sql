-- Somebody signs out.
delete from headrace.access_session s where s.digest = %(digest)s returning s.user_name
