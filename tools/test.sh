#!/usr/bin/env bash
# Everything that is tested, one part after the other; stops at the first part that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin

say() { printf '\n== %s\n' "$*"; }

say "Debian packages"
tools/debian_packages.sh postgresql:/usr/lib/postgresql pgbouncer:/usr/sbin/pgbouncer prometheus:/usr/bin/prometheus chromium:/usr/bin/chromium

say "All tests, on the embedded PostgreSQL"
"$bin/pytest" -n 3 -m "not soak" -q

say "The store, through PgBouncer in transaction mode, on Debian's PostgreSQL"
"$bin/python" tools/with_server.py pgbouncer -- "$bin/pytest" -n 4 -m "not soak and not direct" -q tests/store

say "What needs a session of its own, on the same without PgBouncer"
"$bin/python" tools/with_server.py postgres -- "$bin/pytest" -n 4 -m "not soak and direct" -q tests/store

say "Unit tests, on every other Python"
tools/test_pythons.sh

say "The wheel, alone in a new environment"
tools/test_wheel.sh

if [ ! -d "${LEAGUE_DATA:-../shared/data/league}" ]; then
  say "NOT RUN: the league's tests on real data. Set LEAGUE_DATA to a folder with players.csv, matches.csv and appearances.csv"
fi
say "All passed"
