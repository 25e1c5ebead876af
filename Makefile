# Every target works from a fresh clone: it makes the virtual environment it needs, from locked
# requirements, once. `make run` and `make test` need Python >= 3.11, git and make, no compiler.

VENV ?= .venv
COMPILED_VENV ?= .venv-compiled
BENCH_VENV ?= bench/.venv-bench
LOCK_VENV ?= .venv-lock
ROOMLOG_STORE ?= .roomlog/store
ROOMLOG_BIND ?= 127.0.0.1:7878
PYTEST_WORKERS ?= 2
PYTEST_ARGS ?=
HISTORIES ?= 10000
SEEDS ?= 1000
SEED_START ?= 0
JOBS ?= 2
ROUNDS ?= 20
SECONDS_EACH ?= 60
SIMULATE_ARGS ?=
CRASH_ARGS ?=
FUZZ_ARGS ?=
MUTANT_ARGS ?=

BIN = $(VENV)/bin
RUNTIME_STAMP = $(VENV)/.runtime-stamp
DEVELOPMENT_STAMP = $(VENV)/.development-stamp
COMPILED_STAMP = $(COMPILED_VENV)/.compiled-stamp
COMPILED_SOURCES = pyproject.toml $(shell find src -name '*.py' 2>/dev/null)
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
PIP_COMPILE = $(LOCK_VENV)/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--annotation-style=line --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	--no-emit-options $(LOCK_ARGS)

.DEFAULT_GOAL := help
.PHONY: help run test lint types format conformance histories simulate crash fuzz mutants docs bench compiled test-compiled lock clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## /  make \1  /p' $(MAKEFILE_LIST)

run: $(RUNTIME_STAMP) ## start a server: ROOMLOG_BIND (127.0.0.1:7878), ROOMLOG_STORE (.roomlog/store)
	@mkdir -p "$(ROOMLOG_STORE)"
	@exec $(BIN)/roomlog serve --store "$(ROOMLOG_STORE)" --bind "$(ROOMLOG_BIND)"

test: lint types ## everything that must hold: style, types, tests, coverage of the pure packages
	@if find src -name '*.so' | grep .; then \
		echo 'compiled modules lie in src/: coverage needs the pure ones; delete them'; exit 1; fi
	$(BIN)/python -m pytest -p tests.coverage_gate -n $(PYTEST_WORKERS) --cov --cov-report= $(PYTEST_ARGS)

lint: $(DEVELOPMENT_STAMP) ## ruff: rules and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEVELOPMENT_STAMP) ## mypy --strict
	$(BIN)/mypy

format: $(DEVELOPMENT_STAMP) ## rewrite the sources in the agreed layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conformance: $(RUNTIME_STAMP) ## run a file of ordering histories: FILE=histories.json.gz
	@test -n "$(FILE)" || { echo 'usage: make conformance FILE=histories.json[.gz]'; exit 2; }
	$(BIN)/python scripts/conformance.py "$(FILE)"

histories: $(DEVELOPMENT_STAMP) ## merge HISTORIES (10000) adversarial histories as the naive oracles do, and count collisions
	ROOMLOG_HISTORIES=$(HISTORIES) $(BIN)/python -m pytest -n $(PYTEST_WORKERS) -rP \
		tests/core/test_convergence.py tests/core/crdt/text/test_text_convergence.py

simulate: $(DEVELOPMENT_STAMP) ## run SEEDS (1000) simulated worlds from SEED_START (0) on, JOBS (2) at once
	$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) --seed-start $(SEED_START) --jobs $(JOBS) $(SIMULATE_ARGS)

crash: $(DEVELOPMENT_STAMP) ## kill and starve a real server ROUNDS (20) times, from SEED_START (0) on
	$(BIN)/python -m tests.crash.run --rounds $(ROUNDS) --seed $(SEED_START) $(CRASH_ARGS)

fuzz: $(DEVELOPMENT_STAMP) ## fuzz every decoder for SECONDS_EACH (60)
	$(BIN)/python -m tests.fuzz.run --seconds-each $(SECONDS_EACH) --jobs $(JOBS) $(FUZZ_ARGS)

mutants: $(DEVELOPMENT_STAMP) ## put each listed bug into a copy: the tests must find it
	$(BIN)/python -m tests.mutation.run --jobs $(JOBS) $(MUTANT_ARGS)

docs: $(RUNTIME_STAMP) ## generate the reference pages from the declarations
	$(BIN)/python scripts/generate_reference.py

bench: ## measure roomlog and its peers side by side; writes bench/RESULTS.md
	BENCH_VENV="$(BENCH_VENV)" bench/setup
	$(BENCH_VENV)/bin/python -m bench.run $(BENCH_ARGS)

compiled: $(COMPILED_STAMP) ## build the compiled wheel into its own environment (needs a C compiler)

test-compiled: $(COMPILED_STAMP) ## the tests of the pure packages against the compiled wheel
	@$(COMPILED_VENV)/bin/python .ci/compiled_modules.py
	$(COMPILED_VENV)/bin/python -m pytest -n $(PYTEST_WORKERS) -p no:cacheprovider \
		tests/core tests/protocol $(PYTEST_ARGS)

lock: $(LOCK_VENV)/.stamp ## resolve the locked requirements anew (LOCK_ARGS=--upgrade for newer ones)
	CUSTOM_COMPILE_COMMAND='make lock' $(PIP_COMPILE) --output-file requirements/runtime.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND='make lock' $(PIP_COMPILE) --build-deps-for editable --only-build-deps \
		--output-file requirements/build.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND='make lock' $(PIP_COMPILE) --extra dev --constraint requirements/runtime.lock \
		--constraint requirements/build.lock --output-file requirements/dev.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND='make lock' $(PIP_COMPILE) --extra fuzz --constraint requirements/dev.lock \
		--output-file requirements/fuzz.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND='make lock' $(PIP_COMPILE) --constraint requirements/dev.lock \
		--output-file bench/peers.lock bench/peers.in

clean: ## remove what builds and test runs leave behind; rooms and environments stay
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests bench scripts examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
	find src -name '*.so' -delete

distclean: clean ## also remove the virtual environments
	rm -rf $(VENV) $(COMPILED_VENV) $(BENCH_VENV) $(LOCK_VENV) bench/node_modules

$(VENV)/bin/python:
	@sh requirements/make-venv "$(VENV)"

$(RUNTIME_STAMP): requirements/runtime.lock requirements/build.lock | $(VENV)/bin/python
	@echo 'Installing what roomlog needs to run (once) ...'
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/runtime.lock -r requirements/build.lock
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEVELOPMENT_STAMP): requirements/dev.lock requirements/fuzz.lock | $(RUNTIME_STAMP)
	@echo 'Installing what the tests need (once) ...'
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/dev.lock
	@$(BIN)/python $(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements/fuzz.lock \
		|| echo 'The fuzzer has no build for this machine: make fuzz and its tests are left out.'
	@touch $@

$(COMPILED_VENV)/bin/python:
	@sh requirements/make-venv "$(COMPILED_VENV)"

$(COMPILED_VENV)/.requirements-stamp: requirements/dev.lock requirements/build.lock | $(COMPILED_VENV)/bin/python
	@$(COMPILED_VENV)/bin/python $(PIP_INSTALL) --require-hashes -r requirements/dev.lock -r requirements/build.lock
	@touch $@

$(COMPILED_STAMP): $(COMPILED_VENV)/.requirements-stamp $(COMPILED_SOURCES)
	@sh requirements/build-compiled "$(COMPILED_VENV)/bin/python"
	@touch $@

$(LOCK_VENV)/.stamp:
	@PYTHON="$${PYTHON:-python3.11 python3}" sh requirements/make-venv "$(LOCK_VENV)"
	@$(LOCK_VENV)/bin/python $(PIP_INSTALL) 'pip-tools==7.6.2'
	@touch $@
