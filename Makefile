# The commands of this project. Everything is installed into .venv (and .venv-legacy); nothing else
# on the machine is touched.

SHELL := /bin/bash
VENV := .venv
LEGACY_VENV := .venv-legacy

# The newest Python that current TensorFlow has wheels for. A name on PATH may be a shim that
# refuses to run, so each candidate is asked for its version.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.10 python3 python; do \
  $$p -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null \
  && echo $$p && break; done)
# A Python 3.7 on PATH or among pyenv's versions, for TensorFlow 1.15.
PYENV_ROOT ?= $(HOME)/.pyenv
LEGACY_PYTHON ?= $(shell for p in python3.7 $(PYENV_ROOT)/versions/3.7.*/bin/python; do \
  $$p -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 7))' 2>/dev/null \
  && echo $$p && break; done)

# Compiled as it is installed: where PYTHONDONTWRITEBYTECODE is set, every process would do it again.
PIP_FLAGS := --quiet --disable-pip-version-check

# Tests at a time.
JOBS ?= 2
PYTEST := -m pytest -q --numprocesses=$(JOBS) --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-current test-legacy lint faults gpu-check wheel test-wheel clean

help:  ## this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-13s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/installed  ## train a small ALBERT from text: TEXT=file, folder or glob for your own
	$(VENV)/bin/python -m quickstart $(if $(TEXT),--text='$(TEXT)')

test: test-current test-legacy  ## all tests, on current TensorFlow and on TensorFlow 1.15

test-current: $(VENV)/installed  ## all tests on current TensorFlow
	$(VENV)/bin/python $(PYTEST)

ifneq ($(LEGACY_PYTHON),)
test-legacy: $(LEGACY_VENV)/installed  ## all tests on TensorFlow 1.15, where a Python 3.7 is found
	$(LEGACY_VENV)/bin/python $(PYTEST)
else
test-legacy:
	@echo
	@echo "*** The legacy tests did NOT run: no Python 3.7 on PATH or in $(PYENV_ROOT)/versions. ***"
	@echo "*** They need TensorFlow 1.15.2, which has no wheels for newer Pythons.           ***"
	@test -z "$(REQUIRE_LEGACY)"
endif

lint: $(VENV)/installed  ## style, formatting and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

faults: $(VENV)/installed  ## damage, kills and stops at length (an hour); the tests have a short sample
	ALBERT_FAULTS=350 $(VENV)/bin/python $(PYTEST) -rP tests/faults
	$(VENV)/bin/python tests/faults/command_kills.py --kills=10
	$(VENV)/bin/python tests/faults/kills.py --hosts=1 --kills=20 --steps=2000
	$(VENV)/bin/python tests/faults/kills.py --hosts=4 --kills=20 --stops=5 --steps=3000

gpu-check: $(VENV)/installed  ## prove a machine with GPUs; ARGS=--rehearse on a CPU
	$(VENV)/bin/python -m albert check-gpu $(ARGS)

# What an earlier build left behind would go into the wheel.
wheel: $(VENV)/installed  ## dist/*.whl, for pip install
	rm -rf build dist
	$(VENV)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir=dist .

test-wheel: wheel  ## a whole job with the wheel, installed outside the checkout
	.ci/test-wheel $(VENV)/bin/python dist/*.whl

$(VENV)/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.10-3.13 found. Install one, or pass PYTHON=path."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --editable '.[test]'
	touch $@

$(LEGACY_VENV)/installed: pyproject.toml
	$(LEGACY_PYTHON) -m venv $(LEGACY_VENV)
	$(LEGACY_VENV)/bin/python -m pip install $(PIP_FLAGS) --upgrade 'pip<24.1' 'setuptools<69'
	$(LEGACY_VENV)/bin/python -m pip install $(PIP_FLAGS) --editable '.[test]'
	touch $@

clean:  ## removes the environments and the wheel
	rm -rf $(VENV) $(LEGACY_VENV) build dist
