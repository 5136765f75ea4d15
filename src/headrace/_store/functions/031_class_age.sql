create or replace function headrace.class_age(class headrace.retention) returns interval
language sql immutable parallel safe
as $$
    select case class when 'short' then interval '1 day' when 'normal' then interval '7 days' else interval '90 days' end
$$;
