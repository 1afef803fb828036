# Two commands do everything on a fresh machine: `make demo` and `make test`. Every target installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed.stamp

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow bench check fix clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## five real nodes on this machine; Ctrl-C ends them
	@exec $(BIN)/raft-node cluster --nodes 5 --exit-with-parent

test: $(STAMP) ## the whole suite
	$(BIN)/python -m pytest

test-slow: $(STAMP) ## what takes long: a browser, every scenario, thousands of generated requests
	$(BIN)/python -m pytest -m slowest

bench: $(STAMP) ## figures, beside etcd where there is one; BENCH=--quick for a short try
	$(BIN)/python -m benchmarks $(BENCH)

check: $(STAMP) ## linters: ruff, mypy --strict, import contracts; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(STAMP) ## format and repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment and caches; data folders stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
