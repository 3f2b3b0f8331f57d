# Every target does its own set-up in a private .venv. Bare `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check-full pythons lint format types floors golden map tables docs bench size

PY := .venv/bin/python
READY := .venv/.ready
TYPED := base runtime ir codegen ops passes lower exec autograd frontends distributions nn optim data saving fx
ARGS ?=
WORKERS ?= -n 2 --dist loadfile
TIERED := tests/autograd tests/nn tests/ops tests/frontends
PYTHONS := 3.11 3.12 3.13 3.14 3.15

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(READY)  ## make .venv with everything that tests and examples need

$(READY): pyproject.toml scripts/setup
	@bash scripts/setup .venv
	@touch $@

demo: $(READY)  ## train a small convnet on digits, then a character model on source code
	@$(PY) examples/digits.py
	@$(PY) examples/stdlib_text.py

test: $(READY)  ## run the tests (ARGS="tests/data -k resume" narrows them)
	@$(PY) -m pytest -m "not slow" $(WORKERS) $(ARGS)

check-full: lint types $(READY)  ## lint, types, every test, and what users call on each tier
	@$(PY) -m pytest $(WORKERS) $(ARGS)
	@for tier in 1 2; do \
	    echo "tier $$tier"; \
	    TWOFOLD_TIER=$$tier $(PY) -m pytest -m "not slow" $(WORKERS) $(TIERED) || exit 1; \
	done

pythons:  ## what users call on each Python that is on the path, in .venv-3.11 and so on
	@for version in $(PYTHONS); do \
	    command -v python$$version >/dev/null || { echo "python$$version is not here"; continue; }; \
	    PYTHON=python$$version bash scripts/setup .venv-$$version || exit 1; \
	    .venv-$$version/bin/python -m pytest -m "not slow" $(WORKERS) $(TIERED) $(ARGS) || exit 1; \
	done

lint: $(READY)  ## check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: $(READY)  ## rewrite the files in the one format
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

types: $(READY)  ## mypy, strict, on floors 0 to 9, nn, optim, data, saving and distributions
	@$(PY) -m mypy $(wildcard $(TYPED:%=src/twofold/%))

floors: $(READY)  ## check that imports only go down, and that docs/map.md is exact
	@$(PY) -m pytest tests/test_floors.py tests/test_map.py

golden: $(READY)  ## rewrite the golden texts; read the diff before you commit it
	@$(PY) -m pytest --golden -m "not slow" $(ARGS)
	@git --no-pager diff --stat -- tests/golden

map: $(READY)  ## add new files to docs/map.md from their docstrings, drop the gone ones
	@$(PY) scripts/write_map.py

tables: $(READY)  ## write the arena's last run (docs/arena/report.json) into README and docs/performance.md
	@$(PY) scripts/write_arena.py

docs: $(READY)  ## run every example in README and docs, and the tutorial
	@$(PY) -m pytest tests/test_readme.py tests/test_tutorial.py $(ARGS)

bench: $(READY)  ## measure against the peers that are installed (ARGS="mlp lenet --rounds 10"), page in build/
	@mkdir -p build
	@$(PY) -m twofold arena --html build/arena.html --json build/arena.json $(ARGS)

size: $(READY)  ## lines of code by folder and floor
	@$(PY) scripts/size.py
