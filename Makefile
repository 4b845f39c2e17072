# One command each for what is done often; `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format docs clean bench

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.demo: pyproject.toml
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

test: $(VENV)/.dev ## Run all tests
	$(BIN)/python -m pytest --ignore tests/faults --ignore tests/e2e/vllm --durations 10
	$(BIN)/python -m pytest tests/faults --numprocesses 4 --durations 10 # they mostly wait

lint: $(VENV)/.dev ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev ## Put the code into form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## Write the pages that follow from the code
	$(BIN)/python -m tools.docs

clean: ## Remove what was made here
	rm -rf $(VENV) .venv-vllm demo-out .regioncap .pytest_cache .mypy_cache .ruff_cache dist

bench: $(VENV)/.dev ## Measure the whole system on this machine
	$(BIN)/python -m bench.pipeline
