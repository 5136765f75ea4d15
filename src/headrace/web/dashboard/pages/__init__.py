"""One module for each page: its route, what it reads, and what can be done on it."""
