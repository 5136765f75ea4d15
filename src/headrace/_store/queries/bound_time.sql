-- How long the statements of this transaction may take, and how they may find their rows (on or off). No compiling: it takes longer
-- than they do.
select set_config('statement_timeout', %(timeout_ms)s::text, true), set_config('jit', 'off', true),
       set_config('enable_seqscan', %(seqscan)s::text, true), set_config('enable_indexscan', %(indexscan)s::text, true)
