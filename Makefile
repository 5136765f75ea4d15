# Every target creates what it needs; nothing else has to be installed but python3 and make.
# As root (or with sudo), Debian packages that tests need are installed; otherwise what is missing is named.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo demo-check test check bench bench-full soak schema clean

demo: $(STAMP)
	@$(BIN)/python -m apps.league demo

demo-check: $(STAMP)
	@$(BIN)/python -m apps.league demo --check

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_text.py

test: $(STAMP)
	tools/test.sh

soak: $(STAMP)
	$(BIN)/pytest -m soak --timeout 3600

bench: $(STAMP)
	$(BIN)/python -m bench --smoke

bench-full: $(STAMP)
	$(BIN)/python -m bench --out docs/bench/results.json && $(BIN)/python -m bench chart docs/bench/results.json docs/bench/results.svg

# The schema as PostgreSQL has it after all migrations, for review.
schema: $(STAMP)
	$(BIN)/python tools/dump_schema.py > docs/schema.sql

clean:
	rm -rf $(VENV) .venv-* dist build

$(STAMP): pyproject.toml constraints.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "headrace needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Set PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
	  echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]' -r requirements-dev.txt
	@touch $@
