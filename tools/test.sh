#!/usr/bin/env bash
# Everything that is tested, one part after the other; stops at the first part that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin

say() { printf '\n== %s\n' "$*"; }

say "Debian packages"
tools/debian_packages.sh postgresql:/usr/lib/postgresql pgbouncer:/usr/sbin/pgbouncer

say "All tests, on the embedded PostgreSQL"
"$bin/pytest" -n 4 -m "not soak" -q

say "The store, on Debian's PostgreSQL"
"$bin/python" tools/with_server.py postgres -- "$bin/pytest" -n 2 -m "not soak" -q tests/store

# Only what needs no session of its own: the interleavings look into pg_stat_activity for their own connections.
say "The store's life of a job, through PgBouncer in transaction mode"
"$bin/python" tools/with_server.py pgbouncer -- "$bin/pytest" -n 0 -m "not soak" -q tests/store/test_jobs.py

say "Unit tests, on every other Python"
tools/test_pythons.sh

say "The wheel, alone in a new environment"
tools/test_wheel.sh

if [ ! -d "${LEAGUE_DATA:-../shared/data/league}" ]; then
  say "NOT RUN: the league's tests on real data. Set LEAGUE_DATA to a folder with players.csv, matches.csv and appearances.csv"
fi
say "All passed"
