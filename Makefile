# make run | test | lint | bench: each builds .venv from requirements.txt the first time.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: run test lint format bench wheel clean

run: $(VENV)/.run
	$(PY) -m playground run

test: $(VENV)/.dev
	$(PY) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(VENV)/.dev
	$(PY) -m playground bench $(ARGS)

wheel: $(VENV)/.dev
	$(PY) -m build --wheel

clean:
	rm -rf $(VENV) build dist

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Prompt Playground needs Python 3.11 or newer: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(VENV)/bin/python
	$(PY) -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/.dev: requirements.txt pyproject.toml | $(VENV)/.run
	$(PY) -m pip install --quiet --requirement requirements.txt --editable '.[dev]'
	touch $@
