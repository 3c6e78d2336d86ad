# Needs Python 3.11 or newer with pip, and make. Each target sets up what it needs, in .venv and ~/.cache/segue.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.synced
# the version in uv.lock, so that the sync does not replace the program that runs it
UV_VERSION := 0.13.9
# the first one on PATH that is new enough; name another with `make PYTHON=... setup`
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
ARGS ?=
SEEDS ?= 100000
MINUTES ?= 10
SEED ?= $(shell date +%s)
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup test simulate check format demo up down wheel chaos bench bench-full clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1|/' | awk -F'|' '{ printf "  make %-10s %s\n", $$1, $$2 }'

setup: $(STAMP) ## make .venv with everything in it; quick when it is there
	@:

$(STAMP): pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "Segue needs Python 3.11 or newer on PATH: none was found. Name one with make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || { echo "making $(VENV) with $$($(PYTHON) --version)"; rm -rf $(VENV); \
		$(PYTHON) -m venv $(VENV) 2>/dev/null || $(PYTHON) -m venv --without-pip $(VENV); }
	@# a Debian Python without ensurepip makes the folder without pip: its own pip then reaches in
	@$(BIN)/uv --version 2>/dev/null | grep -q '^uv $(UV_VERSION)' || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) 2>/dev/null || \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv sync --locked --quiet --python $(BIN)/python
	@touch $@

test: setup ## run the tests, against a real Kafka; ARGS="-k name" picks
	@$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

simulate: setup ## simulated failures, each from a number: make simulate SEEDS=1000000; ARGS="--replay 17" tells one
	@PYTHONPATH=. $(BIN)/python -m tests.simulator --seeds $(SEEDS) $(ARGS)

check: setup ## lint, types, walls between the packages
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

demo: setup ## a shop, its segments and a Kafka, live in this terminal; ARGS="--seconds 30" ends by itself
	@$(BIN)/segue demo $(ARGS)

up: setup ## start a Kafka that stays, keeping its data
	@$(BIN)/segue up $(ARGS)

down: setup ## stop it, its data stays
	@$(BIN)/segue down $(ARGS)

wheel: setup ## build dist/*.whl
	@$(BIN)/uv build --wheel --out-dir dist

chaos: setup ## kill, cut and deceive real workers for MINUTES, and check every change; SEED picks the faults
	@PYTHONPATH=. $(BIN)/python -m tests.chaos run --minutes $(MINUTES) --seed $(SEED) $(ARGS)

bench: setup ## measure for a few minutes, changes checked, on a Kafka of its own or BROKER=host:port; a file in bench/results
	@PYTHONPATH=. $(BIN)/python -m bench run --short $(if $(BROKER),--broker $(BROKER)) $(ARGS)

bench-full: setup ## ... everything, an hour or more; ARGS="--workload FOLDER" adds the reference workload and its peers
	@PYTHONPATH=. $(BIN)/python -m bench run --full $(if $(BROKER),--broker $(BROKER)) $(ARGS)

clean: ## remove what was made here; the download cache stays
	@rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find agents bench monitoring schemas streams tests -name __pycache__ -type d -prune -exec rm -rf {} +
