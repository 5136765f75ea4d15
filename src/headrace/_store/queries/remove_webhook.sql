with gone as (
    delete from headrace.webhook w where w.name = %(name)s returning w.name
), unsigned as (
    delete from headrace.webhook_secret s using gone g where s.name = g.name
)
select name from gone
