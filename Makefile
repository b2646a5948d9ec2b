# SPDX-License-Identifier: MIT
# `make help` lists the targets, from the comments behind them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_PRESET ?= fast

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check format clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make the environment in .venv (PYTHON=python3.12 picks an interpreter); done by the others when needed
	@echo "$(VENV) is ready"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "c3video needs Python 3.10 or newer; this is $$($(PYTHON) -V 2>&1). Try: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing c3video and its dependencies into $(VENV) ..." >&2
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## encode a small real clip, decode it through a pipe, check every frame, compare with x264 and x265 (DEMO_PRESET=fast)
	@$(BIN)/python -m eval.demo --preset $(DEMO_PRESET)

test: $(READY)  ## run the quick tests
	@$(BIN)/python -m pytest -q -m "not slow"

test-slow: $(READY)  ## run the slow tests
	@$(BIN)/python -m pytest -q -m slow

check: $(READY)  ## lint, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)  ## put the formatting right
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## remove the environment, caches and the demo's files
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
