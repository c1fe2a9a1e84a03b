# Everything sets itself up: a .venv with the exact versions of constraints.txt, rebuilt only when these change.
PYTHON ?= python3
BIN := .venv/bin

# What is installed in a .venv names its folder: in a project that was moved or copied it is made again.
MOVED := $(shell test -s .venv/ready -a ! -L .venv && test "$$(cat .venv/ready)" != "$(CURDIR)" && echo moved)

.PHONY: run demo test test-all test-older up lint bench bench-gpu clean $(if $(MOVED),.venv/ready)
run: .venv/ready
	$(BIN)/headway run loans

demo: .venv/ready
	$(BIN)/headway demo

# Files of tests are dealt to as many processes as there are cores, those that hold the longest first.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) -m "not slow and not browser"

test-all: lint
	$(PYTEST)

# The training core under the oldest torch that is supported: its wheel needs CUDA's libraries, five gigabytes in all.
OLDER := .cache/torch-2.11.0
TESTS ?= tests/train tests/models tests/tasks tests/bench
test-older:
	test -x $(OLDER)/bin/python || $(PYTHON) -m venv $(OLDER)
	grep -v -i '^torch' constraints.txt > $(OLDER)/constraints.txt
	$(OLDER)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLDER)/constraints.txt -e ".[dev]" torch==2.11.0
	$(OLDER)/bin/pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow and not browser" $(TESTS)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check

up: .venv/ready
	$(BIN)/headway up

bench: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python -m bench.$(NAME) $(ARGS)
	$(BIN)/python -m bench.goals

# On a machine with a GPU, where torch, numpy, pandas, pyarrow, pydantic and PyYAML are installed already. Ends within 240 seconds.
bench-gpu:
	PYTHONPATH=src:. $(PYTHON) -m bench.gpu $(ARGS)

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Headway needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) -V); set PYTHON=..."; exit 2; }
	test -z "$(MOVED)" || rm -rf .venv
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	echo "$(CURDIR)" > $@

clean:
	rm -rf .venv .prefect data/prepared data/runs
