# Everything a developer or CI runs. Needs make and Python 3.11 or later; `test-kafka` also needs
# Java 17 and Maven.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AUDIT := .venv-audit
COMPILED := .venv-compiled

.DEFAULT_GOAL := help
.PHONY: help setup compiled demo test test-kafka soak check format bench scenarios dashboards audit sbom lock

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with the locked packages and the project itself

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; choose one with make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

compiled: $(COMPILED)/.ready ## Make .venv-compiled, where what costs most is machine code (needs a C compiler)

# As in the image; not in .venv, where it would hide changes to the code.
$(COMPILED)/.ready: $(READY) deploy/container/compile.sh $(wildcard models/*.py models/*/*.py streams/*.py streams/*/*.py)
	test -d $(COMPILED) || $(PYTHON) -m venv $(COMPILED)
	$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall .
	deploy/container/compile.sh $(COMPILED)/bin/python
	touch $@

demo: $(READY) ## Play a simulated incident through a real worker
	$(BIN)/pairwatch demo

test: $(READY) ## Run the tests, on the embedded broker
	PAIRWATCH_TEST_BROKER=embedded $(BIN)/python -m pytest $(ARGS)

test-kafka: $(READY) ## Run the integration and fault tests on Apache Kafka
	PAIRWATCH_TEST_BROKER=kafka $(BIN)/python -m pytest -m "integration or kafka" $(ARGS)

soak: $(READY) ## Try faults, fuzzing and memory at length: 200 kills, millions of inputs, weeks
	PAIRWATCH_TEST_BROKER=kafka PAIRWATCH_TEST_KILLS=200 PAIRWATCH_TEST_OUTAGE_S=60 \
	PAIRWATCH_TEST_INPUTS=250000 PAIRWATCH_TEST_DAYS=56 \
	$(BIN)/python -m pytest tests/faults tests/fuzz tests/streams/test_memory.py $(ARGS)

check: $(READY) ## Lint, check formatting, types and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --strict --explicit-package-bases deploy/grafana
	$(BIN)/lint-imports

format: $(READY) ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY) $(if $(shell command -v cc),compiled) ## Run the benchmarks, compiled where there is a C compiler
	$(BIN)/python -m tests.benchmarks $(ARGS)

scenarios: $(READY) ## Measure detection in unseen worlds, beside simple baselines
	$(BIN)/python -m tests.scenarios $(ARGS)

dashboards: $(READY) ## Write Grafana's dashboards and alert rules from their code
	$(BIN)/python -m deploy.grafana

audit: $(READY) $(AUDIT)/.ready ## Ask for known weaknesses of the dependencies
	$(BIN)/python -m tests.supply audit $(AUDIT)/bin

sbom: $(READY) $(AUDIT)/.ready ## List what runs in build/sbom.json (CycloneDX)
	$(BIN)/python -m tests.supply sbom $(AUDIT)/bin build/sbom.json

$(AUDIT)/.ready: tests/supply/requirements.lock
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

# One lock for Python 3.11 and later on every platform: the newest versions that pyproject.toml
# allows, with their hashes, and without the addresses of the machine that made it.
lock: ## Renew requirements.lock
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--extra demo --group dev pyproject.toml --output-file requirements.lock
