"""Entry point of `python -m apps.league`."""

from apps.league.cli import main

main()
