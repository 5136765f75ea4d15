"""The filter language: its keys, values, parser and completion. No database, no clock."""
