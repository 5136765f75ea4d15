-- Deploys in a span of time, oldest first.
select d.deployed_at, d.label, d.deployed_by, d.automatic
from headrace.deploy d
where d.deployed_at >= %(since)s::timestamptz and d.deployed_at <= coalesce(%(until)s::timestamptz, 'infinity')
order by d.deployed_at, d.id
