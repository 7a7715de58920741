# Penstock's one Makefile. `make help` lists the targets; CI runs the same ones.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
UV := .tools/bin/uv
BIN := .venv/bin
STAMP := .venv/.synced
pip_install = if test -x $(UV); then $(UV) pip install --quiet --python $(BIN)/python $(1); \
	else $(BIN)/python -m pip install --quiet $(1); fi
QUICKFIX := $(BIN)/python -c "import quickfix" 2>/dev/null
SECONDS ?=
ROUNDS ?=
SEED ?=
RENEW ?=
SHORT ?=
BASE ?=

# One locked environment in .venv, without root and on an externally managed Python.
# uv makes it in seconds; where uv cannot be had, venv and pip do the same.
$(STAMP): requirements.lock requirements-peers.lock pyproject.toml
	@echo "Making the environment in .venv with $$($(PYTHON) --version) ..."
	@test -x $(UV) || $(PYTHON) -m pip install --quiet --disable-pip-version-check --target .tools uv || true
	@if test -x $(UV); then \
	  $(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv && \
	  $(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock; \
	else \
	  $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock; \
	fi
	@$(call pip_install,--no-deps --no-build-isolation --editable .)
	@($(call pip_install,--require-hashes --no-deps --only-binary :all: -r requirements-peers.lock)) 2>.venv/peers.log || \
	  echo "quickfix-py has no wheel for this Python: the tests that play QuickFIX C++ are left out (.venv/peers.log)"
	@touch $@

.PHONY: help setup run test check lint types imports docs bench bench-cost fuzz faults bench-limits mutants stock test-redis7 simulate format lock clean

help: ## List every target
	@grep -hE '^[a-z0-9-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}'

setup: $(STAMP) ## Make the locked environment in .venv (the other targets do it by themselves; EXTRAS=otlp: trace export too)
	@$(if $(filter otlp,$(EXTRAS)),$(call pip_install,--require-hashes -r deploy/requirements.lock),true)

run: $(STAMP) ## Start everything on loopback and trade: FIX against WebSocket (SECONDS=10 to end by itself)
	@exec $(BIN)/penstock demo $(if $(SECONDS),--seconds $(SECONDS))

test: $(STAMP) ## Run the test suite (starts and stops its own servers)
	@$(QUICKFIX) || echo "quickfix-py is not installed: the tests that play QuickFIX C++ are left out"
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not quickfix" -q
	@! $(QUICKFIX) || $(BIN)/python -m pytest -m quickfix -q

check: lint types imports ## Lint, types, import rules, dependencies

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports
	$(BIN)/deptry .

docs: $(STAMP) ## Regenerate the reference pages, the FIX dictionaries, the scenario table and the golden messages from the code
	$(BIN)/python -m docs.generate
	$(BIN)/python -m docs.generate_fix
	$(BIN)/python -m docs.generate_core

bench: $(STAMP) ## Measure Penstock beside other servers, and write docs/benchmarks.md (SHORT=1: only print; BASE=checkout of an earlier commit)
	$(BIN)/python -m tests.bench.beside $(if $(SHORT),--short) $(if $(BASE),--before $(BASE))

bench-cost: $(STAMP) ## Count the instructions of an order by stage, and hold them to their budget (RENEW=1: renew it)
	$(BIN)/python -m tests.bench.cost $(if $(RENEW),--renew)

fuzz: $(STAMP) ## Attack a live gateway on both doors (SECONDS=60, SEED=1)
	$(BIN)/python -m tests.faults.fuzz --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

faults: $(STAMP) ## Every fault there is a program for, and the table in docs/understand/guarantees.md (ROUNDS=25)
	$(BIN)/python -m tests.faults --rounds $(or $(ROUNDS),25)

bench-limits: $(STAMP) ## Measure the limiter beside its peers, ratios with the goal beside each
	PYTHONPATH=. $(BIN)/python tests/bench/limits_shared.py

stock: $(STAMP) ## Read what stock dictionaries of FIX engines allow (QUICKFIXJ=a.jar,b.jar QUICKFIXGO=dir)
	$(BIN)/python -m tests.stock "QuickFIX=.venv/share/quickfix" "QuickFIX/J=$(QUICKFIXJ)" "quickfixgo=$(QUICKFIXGO)"

mutants: $(STAMP) ## Plant every listed mistake and see the tests notice it (WORD=journal: those with this word)
	$(BIN)/python -m tests.mutants $(WORD)

test-redis7: $(STAMP) ## Run the tests of the shared limits against Debian's redis-server, where it is installed
	@command -v redis-server >/dev/null || { echo "redis-server is missing: install Debian's package redis-server"; exit 1; }
	PENSTOCK_REDIS_SERVER=$$(command -v redis-server) $(BIN)/python -m pytest -q tests/limits

simulate: $(STAMP) ## Run the gateway, and several, in a world of faults, and plant bugs in them (SEEDS=1000)
	$(BIN)/python -m tests.simulate --seeds $(or $(SEEDS),1000)
	$(BIN)/python -m tests.simulate --seeds $$(($(or $(SEEDS),1000) / 5)) --several

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

LOCK := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

lock: ## Renew the lock files from pyproject.toml (the checkout's, the other engines' that tests play, the image's)
	$(LOCK) pyproject.toml --group dev --extra demo -o requirements.lock
	$(LOCK) --group peers -o requirements-peers.lock
	$(LOCK) pyproject.toml --group build --extra otlp -o deploy/requirements.lock

clean: ## Remove the environment and every cache
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
