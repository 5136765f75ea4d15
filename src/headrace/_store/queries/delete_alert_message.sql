delete from headrace.alert_message where id = %(id)s
