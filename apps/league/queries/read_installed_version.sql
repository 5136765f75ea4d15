select obj_description(to_regnamespace('league'), 'pg_namespace')
