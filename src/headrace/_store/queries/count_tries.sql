select t.wait_s, t.is_first from headrace.count_tries(%(keys)s::text[], %(bounds)s::integer[], %(span_s)s::float8) t
