update headrace.webhook set enabled = false, disabled_reason = %(reason)s where name = %(name)s and enabled returning name
