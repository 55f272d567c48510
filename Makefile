# coord: everything a fresh machine needs is made by these targets. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# How many processors the tests use (1: one after the other).
JOBS ?= auto
export PATH := $(abspath $(BIN)):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-client test-compose check chaos endurance upgrade bench clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "coord needs Python 3.11 or newer: make PYTHON=/path/to/python3.12"; exit 2; }
	@echo "making $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)

# One stamp per set of packages; a change of pyproject.toml installs again.
$(VENV)/.with-%: pyproject.toml | $(BIN)/python
	@echo "installing coord[$*] into $(VENV) (once, about half a minute)$(if $(filter client check,$*),; with Claude Code: 166 MB)"
	@$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@$(BIN)/python -m tools.redis_server $(BIN)
	@touch $@

demo: $(VENV)/.with-embedded ## the main job, end to end, in under a minute: no account, no Redis needed
	@$(BIN)/python -m demo.run

test: $(VENV)/.with-test ## all tests, against a real redis-server, the real Claude Code and a real browser
	@$(BIN)/python -m tools.programs
	@$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist worksteal
	@$(MAKE) --no-print-directory test-client

test-client: $(VENV)/.with-client ## sessions of the real Claude Code, against a scripted model on loopback: no account needed
	@$(BIN)/python -m pytest tests/client -n 4

check: $(VENV)/.with-check ## ruff, mypy --strict, import-linter, the Lua lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tools.lua_lint

test-compose: $(VENV)/.with-test ## docker compose up, with workers and Redis killed, cut off, scaled (needs docker)
	@$(BIN)/python -m pytest tests/compose

chaos: $(VENV)/.with-test ## two thousand tasks, eight workers, killed and frozen at random
	@$(BIN)/python -m tests.crash.chaos --tasks 2000 --workers 8

endurance: $(VENV)/.with-client ## a thousand tasks for sessions of the real Claude Code; networks and Redis break (ARGS=--tasks 5000)
	@$(BIN)/python -m tests.client.endurance $(ARGS)

upgrade: $(VENV)/.with-test ## chaos with an upgrade in the middle: two versions of every script side by side
	@$(BIN)/python -m tests.crash.upgrade --tasks 1000 --workers 8

bench: $(VENV)/.with-test ## coord beside other queues on this machine (20 minutes; ARGS=--quick: 3)
	@$(BIN)/python -m bench $(ARGS)

clean: ## remove what the targets made
	rm -rf $(VENV) .bench .coord build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
