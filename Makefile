# What a person types. Each target sets up what it needs: Python 3.11+ and make are enough.
# `make` alone lists the targets.

.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export SAM_CLI_TELEMETRY := 0

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# uv installs the locked tools in seconds where pip takes more than a minute; it comes from the same
# lock, with its hash.
$(READY): .ci/requirements.txt .ci/find-python
	@echo "setting up $(VENV) (once)"
	@rm -rf $(VENV)
	@"$$(bash .ci/find-python)" -m venv $(VENV)
	@awk '/^uv==/{p=1} p{print} p&&!/\\$$/{exit}' .ci/requirements.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r .ci/requirements.txt
	@touch $@

.PHONY: setup
setup: $(READY) ## install the locked tools into .venv

.PHONY: lock
lock: $(READY) ## refresh both lock files from pyproject.toml and layers/dependencies/requirements.in
	$(BIN)/uv pip compile --quiet --upgrade --group dev layers/dependencies/requirements.in \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -o .ci/requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade layers/dependencies/requirements.in -c .ci/requirements.txt \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -o layers/dependencies/requirements.txt
