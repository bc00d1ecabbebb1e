# `make` alone explains itself: the text after ## is the help.
PYTHON ?= python3
BIN := .venv/bin
EXPERIMENTS := tests/chaos tests/models/test_against_a_model.py tests/models/test_races.py \
  tests/system/test_one_effect.py tests/system/test_unanswered_posts.py

.DEFAULT_GOAL := help
.PHONY: help run test lint types compiled lock bench load chaos-quick chaos-full outages-quick outages-full experiment check-invariants backup restore verify clean install-test

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Install what is missing, start everything, stop at Ctrl-C (PORT=8010 make run)
	@$(PYTHON) run.py

test: install-test ## Check everything: style, types, import contracts, tests (10 min)
	@$(MAKE) --no-print-directory -j3 lint types compiled
	@$(BIN)/python -m pytest -m "not outage"

lint: install-test ## Check style, import contracts and known ways to write holes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive api models tasks local scripts migrations *.py

types: install-test ## Check types
	@$(BIN)/mypy

compiled: install-test
	@# Tests are compiled once here, and not by each process that runs some of them.
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 0 --collect-only -qq >/dev/null || true

chaos-quick: install-test ## Break real processes, servers and connections under 400 jobs (2 min; PARLEY_SEED=7 repeats a run)
	@$(BIN)/python -m tests.chaos --jobs 400

chaos-full: install-test ## The same under 1,000 jobs, three times, with the product's own times; then all experiments at length (30 min)
	@$(BIN)/python -m tests.chaos --seeds 3 --jobs 1000 --calm-deals 2 --own-times
	@PARLEY_CHAOS=full $(BIN)/python -m pytest -n 0 -s $(EXPERIMENTS)

outages-quick: install-test ## Kill, freeze, fill up and restart real servers and processes, each for a few seconds (6 min)
	@$(BIN)/python -m pytest -n 2 -m outage tests/system tests/chaos

outages-full: install-test ## Outages of a minute, full disks (root), restarts and overload, with the product's own times (20 min)
	@PARLEY_CHAOS=full $(BIN)/python -m pytest -n 0 -s tests/system/test_outages_redis.py tests/system/test_outages_postgres.py \
	  tests/system/test_outages_disk.py tests/system/test_rolling_restart.py tests/system/test_overload.py \
	  tests/system/test_clocks_apart.py

experiment: install-test ## Repeat one of the experiments of docs/reliability.md (make experiment E="E9 R19"); without E, list them
	@$(BIN)/python -m tests.experiments $(E)

check-invariants: ## Ask the database for jobs that break an invariant (DATABASE_URL, or the running `make run`)
	@$(BIN)/python -m scripts.check_invariants

backup: ## Write the database into a file, and prove that it can be read again (DATABASE_URL, or `make run`'s)
	@$(BIN)/python -m scripts.backup $(TO)

restore: ## Put a backup in the place of the database, while nothing runs (make restore FILE=…)
	@$(BIN)/python -m scripts.restore "$(FILE)"

verify: ## Ask a Parley whether it works: one job, one message (PARLEY_URL=https://…, PARLEY_API_KEY=…)
	@$(PYTHON) scripts/verify.py

bench: install-test ## Measure
	@$(BIN)/python -m benchmarks

load: install-test ## Let people use it, by Locust: a hundred, ever more, for ten minutes, past the limits (20 min; ON=users)
	@test -x .venv-load/bin/locust || { $(PYTHON) -m venv --without-pip .venv-load && \
	  $(BIN)/uv pip install --quiet --require-hashes --python .venv-load/bin/python -r requirements-load.txt; }
	@$(BIN)/python -m benchmarks.load $(ON)

lock: install-test ## Pin the newest versions that fit requirements*.in
	@for name in requirements requirements-local requirements-traces requirements-test requirements-load; do \
	  $(BIN)/uv pip compile $$name.in -o $$name.txt --universal --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-emit-find-links --quiet --custom-compile-command "make lock" || exit; \
	done

clean: ## Remove .venv and caches; the data in .data stays
	@rm -rf .venv .venv-load .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

install-test:
	@$(PYTHON) run.py install-test
