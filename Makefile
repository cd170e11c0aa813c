# Agent Relay: `make run` serves, `make test` tests, `make check` lints; each sets up what it needs in .venv.
# Paths are relative throughout, so that a checkout in a folder with spaces works.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check bench screenshots format clean FORCE

# Which Python makes .venv; when empty, the first of the names in `.venv/.made-in` that is 3.11 or newer.
PYTHON ?=
# Passed on: make run ARGS="--port 5000" · make test ARGS="tests/unit -k config"
ARGS ?=

# Compiled files make the second start fast, whatever the caller's habit.
unexport PYTHONDONTWRITEBYTECODE
# A blank HOME would make "~" the root folder; without the variable the system's own entry is taken.
ifeq ($(HOME),)
unexport HOME
endif

PIP := .venv/bin/python -m pip --quiet --quiet --disable-pip-version-check --no-input
# The tools of packaging/web, run by the Node that .venv brings.
WEB := .venv/bin/node .venv/web/node_modules
PRETTIER := --config packaging/web/prettier.json 'static/**/*.js' '!static/vendor/**'
# Programs that some tests drive, as `command:Debian package`.
TEST_PROGRAMS := chromium:chromium curl:curl faketime:faketime

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

run: .venv/.ready ## set up what is needed and serve on http://127.0.0.1:4850
	@exec .venv/bin/agent-relay $(ARGS)

test: .venv/.ready-test .venv/.ready-web ## set up what is needed and run every test
	@missing=; for want in $(TEST_PROGRAMS); do \
	  command -v "$${want%%:*}" >/dev/null || missing="$$missing $${want#*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "make test: installing with apt-get:$$missing"; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    { apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing; } >.venv/apt.log 2>&1 || \
	      { tail -n 5 .venv/apt.log; echo "make test: ATTENTION: could not install$$missing; tests that need it will fail or be skipped" >&2; }; \
	  else \
	    echo "make test: ATTENTION: not installed:$$missing; tests that need it will fail or be skipped" >&2; \
	  fi; \
	fi
	@.venv/bin/python -m pytest -n auto $(ARGS)

check: .venv/.ready-check .venv/.ready-web ## lint, format, types and import rules; changes nothing
	@status=0; \
	.venv/bin/ruff check --output-format=concise || status=1; \
	.venv/bin/ruff format --check || status=1; \
	.venv/bin/mypy || status=1; \
	.venv/bin/lint-imports --no-logo || status=1; \
	$(WEB)/typescript/bin/tsc --project packaging/web || status=1; \
	$(WEB)/prettier/bin/prettier.cjs $(PRETTIER) --check || status=1; \
	.venv/bin/python packaging/vendor.py --check || status=1; \
	exit $$status

bench: .venv/.ready-bench ## measure; prints a table and writes JSON
	@exec .venv/bin/python -m bench $(ARGS)

screenshots: .venv/.ready-test ## take the pictures in docs/images anew, of agent-relay demo
	@exec .venv/bin/python packaging/screenshots.py

format: .venv/.ready-check .venv/.ready-web ## put the code into shape
	@.venv/bin/ruff check --fix --quiet || true
	@.venv/bin/ruff format
	@$(WEB)/prettier/bin/prettier.cjs $(PRETTIER) --write --log-level warn

clean: ## remove .venv and everything that tools left
	@rm -rf .venv build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

FORCE:

# .venv belongs to this folder: a copied or moved checkout makes its own. The recipe looks each time, but leaves the file
# alone when all is well, so nothing that depends on it is made again.
.venv/.made-in: FORCE
	@if [ -x .venv/bin/python ] && [ "$$(cat .venv/.made-in 2>/dev/null)" = "$$(pwd -P)" ]; then exit 0; fi; \
	found=; almost=; \
	for python in $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  almost="$$python"; \
	  "$$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || continue; \
	  found="$$python"; break; \
	done; \
	if [ -z "$$found" ] && [ -n "$$almost" ]; then \
	  echo "make: $$almost has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	elif [ -z "$$found" ]; then \
	  echo "make: no Python 3.11 or newer found; install one, or name it: make run PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "make: making .venv with $$("$$found" --version)"; \
	rm -rf .venv; "$$found" -m venv .venv; pwd -P >.venv/.made-in

.venv/.ready: .venv/.made-in pyproject.toml
	@echo "make: installing what the relay needs (once)"
	@$(PIP) install --editable .
	@touch $@

# `pip install --group` came with pip 25.1; a fresh venv may bring an older one.
.venv/.pip: .venv/.made-in
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

.venv/.ready-test: GROUPS = --group test --group bench
.venv/.ready-check: GROUPS = --group lint --group test --group bench
.venv/.ready-bench: GROUPS = --group bench
.venv/.ready-test .venv/.ready-check .venv/.ready-bench: .venv/.ready .venv/.pip
	@echo "make: installing what $(subst .venv/.ready-,make ,$@) needs (once)"
	@$(PIP) install $(GROUPS)
	@touch $@

# The dashboard itself needs no Node: it is for what checks it, and for the accessibility rules that its tests apply. Node comes
# as a Python package, so that it needs neither root nor a distribution that has a recent one; it trusts whom the system trusts.
.venv/.ready-web: packaging/web/package.json packaging/web/package-lock.json .venv/.pip
	@echo "make: installing what checks the dashboard (once)"
	@$(PIP) install --group web
	@mkdir -p .venv/web
	@cp packaging/web/package.json packaging/web/package-lock.json .venv/web
	@PATH="$$(pwd -P)/.venv/bin:$$PATH"; export NODE_USE_SYSTEM_CA=1; cd .venv/web; npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >.install.log 2>&1 || { cat .install.log >&2; exit 1; }
	@touch $@
