"""What `headrace bench` measures, and how. The command itself, and what it prints, is in cli/bench.py."""
