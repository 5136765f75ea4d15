-- Which cluster answers; for the owner of the embedded server.
select system_identifier, current_setting('data_directory') from pg_control_system()
