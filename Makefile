# The commands a person types. `make` alone says which there are.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAB := $(BIN)/python lab/lab
PLAY := $(BIN)/ansible-playbook
IN_LAB := -i inventory -i lab/inventory
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help

.PHONY: help
help:  ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements.lock tools/setup
	@$(PYTHON) tools/setup
	@touch $@

.PHONY: setup
setup: $(VENV)/.ready  ## Install the tools into .venv, for people with real Macs

.PHONY: demo
demo: setup lab-up  ## Virtual fleet up, site.yml over it, its state printed; `make lab-down` ends it
	$(PLAY) $(IN_LAB) site.yml
	@$(LAB) status

.PHONY: lab-up
lab-up: setup  ## Start the virtual fleet
	@$(LAB) up

.PHONY: lab-down
lab-down: setup  ## End the virtual fleet; nothing of it stays
	@$(LAB) down

.PHONY: lab-status
lab-status: setup  ## Say how the virtual fleet is
	@$(LAB) status

.PHONY: test
test: setup  ## Everything CI runs: lint, unit, conformance, scenarios
	@tools/test

.PHONY: lint
lint: setup  ## Style and types
	@tools/test lint

.PHONY: unit
unit: setup  ## Judgements and parts of the lab, without a lab
	@tools/test unit

.PHONY: test-clients
test-clients: setup  ## The real client programs, with the files rendered for them
	@tools/test clients

.PHONY: lock
lock: setup  ## Choose versions anew and write requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --upgrade --quiet --output-file requirements.lock
