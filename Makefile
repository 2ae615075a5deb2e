# Everything a developer types. `make help` lists it; each target sets up what it needs first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# A grid is a dozen Python processes: without compiled modules each of them starts three times as slowly.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PROJECTS := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
# The long ones first, so that none of them is left alone at the end.
TESTS := $(wildcard tests/integration/*/test_crashes.py tests/e2e tests/chaos tests/integration/*/test_outages.py \
	tests/integration tests/contract tests/unit)
# Tests mostly wait for servers and processes: more of them at once than a small machine has cores.
TESTERS ?= 5

# The environment is up to date while nothing that went into it has changed, this folder's place included.
INGREDIENTS := requirements.lock requirements-model.lock .ci/setup $(PROJECTS)
STAMP := .venv/gridloom-setup-$(shell { pwd; cat $(INGREDIENTS); } 2>/dev/null | cksum | tr ' ' '-')

# A machine that starves a test of its processors proves nothing about it: what failed beside the others is tried once
# more by itself, and named. What was not a failed test (no server, no import) fails at once.
ALONE := { printf '\n=== failed beside other tests; once more, alone:\n'; $(BIN)/python -m pytest -q -rA --show-capture no \
	--last-failed --last-failed-no-failures none $(TESTS) | grep -v '^$$'; }

.PHONY: help setup demo up down test clients lint fix bench bench-peers schemas lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with everything: locked packages, embedded servers, the model
	@:

$(STAMP):
	@.ci/setup
	@rm -f .venv/gridloom-setup-*
	@touch $@

demo: setup ## start everything, ask a language model over HTTP, show what happened, stop everything
	@$(BIN)/gridloom demo

up: setup ## start the grid and stay; prints URL, API key and a curl line; Ctrl-C stops it
	@$(BIN)/gridloom up

down: setup ## stop the grid that `gridloom up --detach` started
	@$(BIN)/gridloom down

test: setup ## all tests, against real servers
	@$(BIN)/python -m pytest -q -n $(TESTERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) $(TESTS) || $(ALONE)

clients: setup ## install the official clients that tests drive a grid with, apart from everything
	@$(BIN)/python .ci/clients

lint: setup ## style, types, layers, dependencies, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	@for project in $(PROJECTS); do \
		echo "deptry $${project%/pyproject.toml}"; \
		(cd $${project%/pyproject.toml} && ../../$(BIN)/deptry src); \
	done
	$(BIN)/python -m pytest -q tests/unit/test_house_rules.py tests/unit/test_lint_rules.py

fix: setup ## repair what can be repaired by a machine
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench-peers: setup ## install what `make bench` compares the grid with, in an environment of its own
	@$(BIN)/uv venv -q --allow-existing --python $(BIN)/python .venv-peers
	@$(BIN)/uv pip install -q --python .venv-peers/bin/python --require-hashes -r tests/bench/peers/requirements.txt

bench: setup ## measure the grid beside its floors, print a table
	@$(BIN)/python -m tests.bench

schemas: setup ## write proto-schemas/ from the contract
	@$(BIN)/python -m gridloom_contract.export

lock: setup ## resolve requirements.lock anew (LOCK_ARGS=--upgrade for newer versions)
	@$(BIN)/python .ci/lock $(LOCK_ARGS)
