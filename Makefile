# Everything runs in .venv, which is made when it is missing or when pyproject.toml or constraints.txt changed.
# `make help` lists what there is to make.

VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?=
SETUP := python=$$(sh scripts/find-python.sh $(PYTHON)) && "$$python" scripts/setup_venv.py $(VENV)
NEEDS := pyproject.toml constraints.txt scripts/setup_venv.py

# MNIST and a zip of photographs for the tests, where somebody has laid them beside the checkout.
ifndef FROMNOISE_DATA
ifneq ($(wildcard ../shared/data),)
export FROMNOISE_DATA := $(abspath ../shared/data)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help demo venv venv-dev test test-slow test-alone notebooks lint format format-check layers types docs clean

help: ## say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' Makefile | awk -F': ' '{ printf "%-21s%s\n", $$1, $$2 }'

demo: venv ## install, train for 100 seconds, sample, and write a report
	@$(PY) -m fromnoise demo

venv: $(VENV)/.installed ## .venv with fromnoise in it

venv-dev: $(VENV)/.installed-dev ## the same with what the tests need

$(VENV)/.installed: $(NEEDS)
	@$(SETUP) -e .
	@touch $@

$(VENV)/.installed-dev: $(NEEDS)
	@$(SETUP) -e '.[dev]'
	@touch $(VENV)/.installed $@

# Two processes of one thread each take half the time of one with two threads: most of a test is Python. A file stays
# in one process, since its tests share what they trained.
WORKERS ?= auto

test: venv-dev ## the tests that are quick, and what they cover
	@OMP_NUM_THREADS=1 $(PY) -m pytest -m "not slow and not alone" -n $(WORKERS) --dist loadfile --cov --cov-report=term $(ARGS)

test-slow: venv-dev ## the tests that train or install something
	@OMP_NUM_THREADS=1 $(PY) -m pytest -m slow -n $(WORKERS) --dist loadfile $(ARGS)

test-alone: venv-dev ## the slow tests that want the machine for themselves
	@$(PY) -m pytest -m alone $(ARGS)

notebooks: venv-dev ## write examples/*.ipynb from the chapter's script
	@$(PY) scripts/make_notebooks.py

lint: venv-dev ## look for mistakes (ruff)
	@$(PY) -m ruff check .

format: venv-dev ## format the code (ruff), imports too
	@$(PY) -m ruff check --quiet --select I --fix .
	@$(PY) -m ruff format .

format-check: venv-dev ## only say what `make format` would change
	@$(PY) -m ruff format --check .

layers: venv-dev ## check which package imports which (import-linter)
	@$(VENV)/bin/lint-imports

types: venv-dev ## check the types (mypy, strict)
	@$(PY) -m mypy

docs: venv-dev ## build the documentation site into site/, strict
	@NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(PY) -m mkdocs build --quiet

clean: ## remove what was built and .venv; runs/ stays
	rm -rf $(VENV) build dist site htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache src/*.egg-info
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
