"""What is seen of jobs from outside the database: logs, metrics, traces, errors and alerts. All of it optional."""
