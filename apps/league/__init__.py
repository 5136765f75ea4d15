"""A football league whose statistics are recomputed by background jobs."""
