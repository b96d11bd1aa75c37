# Two commands set everything up: `make` and `make test`. Both are quick when nothing has changed.
# `make help` lists the rest.

PYTHON ?= python3
PYTEST ?= pytest
PORT ?= 4200

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input -c constraints.txt
REPORT := artifacts/report
SHOW = cat $(REPORT)/leaderboard.md && printf '\nreport: %s\n' '$(CURDIR)/$(REPORT)/index.html'

# The stages that DVC starts say `python`: it must be the one that has everything installed.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := all
.PHONY: all install check repro leaderboard test lint types slow bench serve refresh hooks clean help

all: repro ## install, check the settings, get the data, run what has changed, show the leaderboard

install: .venv/.core ## .venv with the versions of constraints.txt

.venv/.made:
	@command -v $(PYTHON) >/dev/null || { echo "groundwork: no $(PYTHON) here; name a Python of 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "groundwork: $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1); it needs Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.core: .venv/.made pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

# Whoever tests first gets everything in one go, so this asks for .venv alone.
.venv/.test: .venv/.made pyproject.toml constraints.txt
	$(PIP) -e ".[test]"
	@touch .venv/.core $@

check: .venv/.core ## params.yaml against the code, one line an error
	@$(BIN)/python -m stages.check

# A folder without .git (an unpacked archive) has to be told so. When a method fails, all that depends on it is skipped,
# the report too: made alone, it takes what the others made.
repro: check
	@[ -e .git ] || $(BIN)/dvc config --local core.no_scm true
	@status=0; $(BIN)/python -m stages.warm $(BIN)/dvc repro --keep-going || status=$$?; \
	if [ $$status -ne 0 ]; then \
		echo "groundwork: something failed; reporting what there is" >&2; \
		$(BIN)/dvc repro -s report || exit $$status; \
	fi; \
	$(SHOW); \
	exit $$status

leaderboard: ## print the leaderboard of the last run, and where its report lies
	@$(SHOW)

test: lint types ## lint, types and tests
	$(BIN)/$(PYTEST)

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.test
	$(BIN)/mypy

slow: .venv/.test ## the tests that take minutes
	$(BIN)/$(PYTEST) -n 0 -m slow

.venv/.bench: .venv/.made pyproject.toml constraints.txt
	$(PIP) -e ".[test,peers]"
	@touch .venv/.core .venv/.test $@

# It measures against peers, which are installed beside; some rows need data: see benchmarks/__main__.py.
bench: .venv/.bench ## the benchmarks, and their table in docs/performance.md (PICTURES=folder CLIPS=folder TEXT=file ROWS="augment ...")
	$(BIN)/python -m benchmarks $(if $(PICTURES),pictures=$(PICTURES)) $(if $(CLIPS),clips=$(CLIPS)) $(if $(TEXT),text=$(TEXT)) $(ROWS)

refresh: .venv/.core ## the same as `make`, as a Prefect flow
	@$(BIN)/python -m pipelines.refresh

serve: .venv/.core ## refresh on the schedule of params.yaml, with Prefect's UI on port 4200 of this machine (PORT=4201 for another)
	@$(BIN)/python -m pipelines.serve --port $(PORT)

hooks: .venv/.test ## lint and types before every commit
	$(BIN)/pre-commit install

clean: ## remove what can be made again; DVC's cache and downloads stay, so `make` brings it back without computing
	rm -rf artifacts .scratch .prefect .mypy_cache .ruff_cache .pytest_cache

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
