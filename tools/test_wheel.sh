#!/usr/bin/env bash
# Builds the wheel, installs it alone in a new environment outside the checkout, and uses it: migrate, a job, its result.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
.venv/bin/pip wheel --quiet --disable-pip-version-check --no-deps -w "$work" .
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt "$(ls "$work"/headrace-*.whl)[embedded]"
listed=$(python3 -m zipfile -l "$(ls "$work"/headrace-*.whl)")
for file in static/htmx.min.js static/uplot.min.js static/dashboard.css templates/overview.html; do
  grep -q "headrace/web/dashboard/$file" <<< "$listed" || { echo "the wheel has no $file"; exit 1; }
done
cat > "$work/jobs.py" <<'PY'
from headrace import Context, Headrace

app = Headrace()

@app.task
def add(ctx: Context, a: int, b: int) -> int:
    ctx.log("adding")
    return a + b
PY
cat > "$work/try.py" <<'PY'
from jobs import add, app

job = add.enqueue_sync(40, 2)
app.run_sync(app.drain())
print("result", app.run_sync(job.result(timeout=10)))
app.close_sync()
PY
cd "$work"
export HEADRACE_DATA="$work/data"
venv/bin/headrace migrate
out=$(venv/bin/python try.py)
echo "$out"
[ "$out" = "result 42" ]
