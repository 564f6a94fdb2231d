# One command for each thing a newcomer or a developer does. Needs only Python (3.11 or newer) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo install test lint docs benchmark format clean

# Train two translators on real text, score them, and show what they look at: runs/demo/report.html
demo: install
	$(BIN)/atonce demo

install: $(VENV)/installed

# All checks: style, types, the direction of imports, and every test with shapes enforced.
test: $(VENV)/installed-dev lint
	$(BIN)/pytest -n auto

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site: build/docs/html/index.html. SPHINXOPTS='-t online' links to the sites of Python, torch and NumPy, too.
docs: $(VENV)/installed-docs
	$(BIN)/python docs/site/build.py build/docs -W --keep-going $(SPHINXOPTS)

# Speed, as ratios measured in one run: on idle cores. benchmarks/README.md has the longer ones.
benchmark: $(VENV)/installed-dev
	$(BIN)/python benchmarks/training.py

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "atonce needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@ $(VENV)/installed
