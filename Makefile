# make demo    sign and verify a real model, in a virtual environment of its own
# make test    install what the tests need, and run them all
# make help    the other targets

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto
BENCH_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
MUTANTS ?=
FAULTS_ARGS ?=
LOAD_ARGS ?=
SCALE_ARGS ?=

.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint typecheck bench scale faults load fuzz docs tour clean

help:
	@echo 'make demo       sign and verify a real model, step by step'
	@echo 'make test       run all tests (PYTEST_ARGS="-k name" for some)'
	@echo 'make test-all   the same under every supported Python that is installed'
	@echo 'make lint       ruff: format and rules'
	@echo 'make typecheck  mypy --strict'
	@echo 'make bench      measure against other tools, as ratios (BENCH_ARGS="--help")'
	@echo 'make scale      measure a store of 10,000 seals (SCALE_ARGS="--help")'
	@echo 'make faults     fail and kill at every system call (FAULTS_ARGS="--help")'
	@echo 'make load       a million files, 1 TiB, twenty signers (LOAD_ARGS="--help")'
	@echo 'make docs       regenerate completions/ and the README tour, check man/'
	@echo 'make tour       regenerate the README tour alone'
	@echo 'make fuzz       feed every reader with garbage (FUZZ_SECONDS=60 each, FUZZ_TARGETS="manifest key")'
	@echo 'make mutants    change what decides, and see whether a test notices (MUTANTS="modelseal.paths.*")'
	@echo 'make clean      remove what the other targets made'

demo: $(VENV)/.runtime
	@MODELSEAL_BIN="$(CURDIR)/$(BIN)" $(SHELL) tests/demo.sh

test: $(VENV)/.dev
	@$(SHELL) tests/system-packages.sh
	@PYTHON="$(BIN)/python" $(SHELL) tests/reference.sh
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-all:
	@for version in 3.11 3.12 3.13; do \
		python$$version -c '' 2>/dev/null || { echo "python$$version: not installed"; continue; }; \
		$(MAKE) test PYTHON=python$$version VENV=$(VENV)-$$version || exit 1; \
	done

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

typecheck: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/bench.py $(BENCH_ARGS)

scale: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks.store_scale $(SCALE_ARGS)

faults: $(VENV)/.dev
	@$(SHELL) tests/system-packages.sh
	$(BIN)/python -m tests.faults $(FAULTS_ARGS)

load: $(VENV)/.dev
	$(BIN)/python -m tests.load $(LOAD_ARGS)

docs: $(VENV)/.dev
	@$(SHELL) tests/system-packages.sh
	$(BIN)/python -m tests.docs

tour: $(VENV)/.dev
	$(BIN)/python -m tests.tour

fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

mutants: $(VENV)/.mutants
	$(BIN)/mutmut run $(MUTANTS)
	$(BIN)/mutmut results

clean:
	rm -rf $(VENV) $(VENV)-3.* .reference demo build dist mutants \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis .cache
	find modelseal tests -name __pycache__ -type d -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'modelseal needs Python 3.11 or newer: make PYTHON=python3.12 …' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.fuzz: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.mutants: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[mutants]'
	@touch $@ $(VENV)/.runtime
