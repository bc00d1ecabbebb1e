# `make` alone explains itself: the text after ## is the help.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test lint types lock bench chaos-full clean install-test

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Install what is missing, start everything, stop at Ctrl-C (PORT=8001 make run)
	@$(PYTHON) run.py

test: lint types ## Check everything: style, types, import contracts, tests
	@$(BIN)/python -m pytest

lint: install-test ## Check style and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: install-test ## Check types
	@$(BIN)/mypy

chaos-full: install-test ## Kill workers under a thousand jobs, three times, with the product's own times (3 min)
	@PARLEY_CHAOS=full $(BIN)/python -m pytest tests/chaos -n 0 -s

bench: install-test ## Measure
	@$(BIN)/python -m benchmarks

lock: install-test ## Pin the newest versions that fit requirements*.in
	@for name in requirements requirements-local requirements-test; do \
	  $(BIN)/uv pip compile $$name.in -o $$name.txt --universal --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-emit-find-links --quiet --custom-compile-command "make lock" || exit; \
	done

clean: ## Remove .venv and caches; the data in .data stays
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

install-test:
	@$(PYTHON) run.py install-test
