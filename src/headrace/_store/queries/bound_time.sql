-- How long the statements of this transaction may take. No compiling: it takes longer than they do.
select set_config('statement_timeout', %(timeout_ms)s::text, true), set_config('jit', 'off', true)
