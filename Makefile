# Everything from nothing but Python 3.11 (or newer) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data
TWO := --numprocesses 2 --dist worksteal

.PHONY: demo demo-quick test test-fast check lint bench-synth bench-live bench-gpu bench-rivals clean

demo: $(VENV)/installed
	$(BIN)/speechbench demo --out demo --overwrite

demo-quick: $(VENV)/installed
	$(BIN)/speechbench demo --out demo --overwrite --quick

test: $(VENV)/installed
	$(BIN)/pytest $(TWO)

test-fast: $(VENV)/installed
	$(BIN)/pytest $(TWO) -m "not slow"

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell

check: lint test

bench-synth: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/mixing.py --write BENCH.md

bench-live: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/live.py

bench-gpu: $(VENV)/installed
	$(BIN)/python tests/benchmarks/live.py --device cuda
	$(BIN)/python tests/benchmarks/e2e_gpu.py

bench-rivals: $(VENV)/installed
	$(BIN)/python tests/benchmarks/rivals.py folds --data $(DATA) --out build/folds
	$(BIN)/python tests/benchmarks/rivals.py measure --folds build/folds --out build/rivals
	$(BIN)/python tests/benchmarks/rivals.py table --folds build/folds --out build/rivals

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "speechbench needs Python 3.11 or newer; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[voices,ray,lhotse,tensorboard,dev]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist
