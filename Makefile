# Every target is one line of `python -m tools`; `make help` lists them.

PYTHON ?= python3
TOOLS = .venv/bin/python -m tools
opt = $(if $(2),--$(1) '$(2)')

.DEFAULT_GOAL := help
.PHONY: help setup test lint clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

setup: ## Install what is missing into this checkout: .venv and .tools, nothing outside
	@$(PYTHON) -m tools.setup

ready:
	@$(PYTHON) -m tools.setup --quiet
.PHONY: ready

test: ready ## Lint, types, device tests, host tests, end-to-end tests (UMQTT=DIR)
	@$(TOOLS) test $(call opt,umqtt,$(UMQTT))

lint: ready ## ruff and mypy --strict
	@$(TOOLS) lint

clean: ## Remove everything that setup and the tools made, things/ with its keys excepted
	@rm -rf .venv .tools .sim build .pytest_cache .mypy_cache .ruff_cache .hypothesis
