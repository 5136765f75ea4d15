select headrace.cancel_workflow(%(id)s::uuid, %(reason)s)
