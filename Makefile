# The commands of the project; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export BENTOML_DO_NOT_TRACK := True
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo demo-real serve test lint types unit contract http system web chromium lock pack clean seed bench bench-scale load

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-18s %s\n", $$1, $$2 }'

demo: pack ## index real photos and search with selfies, on embedded stores
	@$(BIN)/python -m bentos.demo

demo-real: $(VENV)/dev pack ## the same demo with two services and real Milvus, PostgreSQL and S3 servers
	@$(BIN)/python -m bentos.demo --real

serve: pack ## run the service of the demo; prints its address, a key and a curl command
	@$(BIN)/python -m bentos.demo --serve

# One more than there are CPUs, because many tests wait for a server to come back or a lease to expire; each process may
# start its own Milvus, PostgreSQL and S3.
TEST_PROCESSES ?= $(shell n=$$(nproc); echo $$(( n < 6 ? n + 1 : 6 )))

test: $(VENV)/dev pack chromium ## all checks of CI, except for the images
	$(MAKE) --no-print-directory lint types
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations=25

lint: $(VENV)/dev ## ruff: rules and format; import-linter: allowed imports
	$(BIN)/lint-imports --no-cache
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/dev ## mypy --strict
	$(BIN)/mypy bentos models locust

unit contract http system web: $(VENV)/dev pack ## one level of the tests
	$(BIN)/python -m pytest tests/$@

web: chromium

chromium: ## the browser for the tests of the page, where apt can install one
	@tests/web/install_chromium.sh

pack: $(VENV)/runtime ## assemble the default face pack into the model store
	@$(BIN)/python -m models.assemble

seed: $(VENV)/runtime pack ## fill the stores of the environment with two collections; ARGS="--photos 100", ARGS=--help
	@PYTHONPATH=.:locust $(BIN)/python -m seed $(ARGS)

bench: $(VENV)/dev pack ## measure the capacity of this machine, as a share of its ceiling; ARGS=--help
	@PYTHONPATH=.:locust $(BIN)/python locust/bench/capacity.py $(ARGS)

bench-scale: $(VENV)/dev ## memory, recall and time of the vector indexes over large bases; ARGS="100000 500000"
	@PYTHONPATH=.:locust $(BIN)/python locust/bench/scale.py $(ARGS)

load: $(VENV)/dev pack ## load test with RPS=100 DURATION=5m, of this machine or of HOST=https://... with API_KEY
	@PYTHONPATH=.:locust $(BIN)/python locust/load.py --host "$(HOST)" --rps $(or $(RPS),100) --duration $(or $(DURATION),5m) $(ARGS)

lock: $(VENV)/dev ## pin the newest versions of the requirements, with hashes
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		requirements/runtime.in -o requirements/runtime.txt
	$(BIN)/uv pip compile -q --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		-c requirements/runtime.txt requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile -q --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		-c requirements/runtime.txt --overrides requirements/service-overrides.txt requirements/service.in -o requirements/service.txt
	$(BIN)/uv pip compile -q --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		-c requirements/runtime.txt --overrides requirements/gpu-overrides.txt requirements/gpu.in -o requirements/gpu.txt

clean: ## remove the virtual environment and the data of `make serve`
	rm -rf $(VENV) .data .mypy_cache .pytest_cache .ruff_cache

$(VENV)/runtime: requirements/runtime.txt
	@echo "setting up the virtual environment ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python 3.11 with venv is needed: apt-get install python3.11-venv"; exit 1; }
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/runtime.txt
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/runtime
	@echo "installing the requirements of the tests ..."
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/dev.txt
	@touch $@

include deploy/targets.mk
