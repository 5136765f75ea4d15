-- How far (µs) a rate's theoretical arrival time is ahead of now. What had been started when the rate was changed counts as so many
-- starts under the new one, not as the time that they would have taken under the old.
create or replace function headrace.rate_ahead(tat_us bigint, old_step_us bigint, step_us bigint, changed_us bigint, now_us bigint)
    returns bigint
language sql immutable parallel safe
as $$
    select case when old_step_us = step_us then greatest(0, tat_us - now_us)
                else greatest(0, changed_us + (greatest(0, tat_us - changed_us)::numeric * step_us / old_step_us)::bigint - now_us) end
$$;
