select k.prefix, k.name, k.role, k.tenant, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.used_at
from headrace.access_key k
order by k.created_at desc
