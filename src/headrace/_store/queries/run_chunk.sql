select headrace.run_chunk(%(id)s, %(chunk)s, %(ids)s::uuid[], %(place)s, %(last)s)
