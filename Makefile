# Two commands do everything: `make demo` and `make test`. Both make the environment if there is none.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv
PORT ?= 8000

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The stamp carries a checksum of $(TORCH), so that asking for another torch installs it.
STAMP := $(VENV)/.installed-$(shell printf '%s' '$(TORCH)' | cksum | cut -d ' ' -f 1)

MINUTES ?= 105
DEMO_PDF := examples/data/annual_report.pdf
DEMO_QUERY := What was the revenue in 2023?

.PHONY: help demo serve test soak bench notebooks tiny lint format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    rank the pages of $(DEMO_PDF) and save ranking.png"
	@echo "make serve   put the bundled model behind HTTP on 127.0.0.1:$(PORT)"
	@echo "make test    run the test suite"
	@echo "make bench   the engine's speed beside the plain way's; BENCH='--preset 8b' on a GPU"
	@echo "make notebooks  run the notebooks of examples/ and save them with their outputs"
	@echo "make tiny    train the bundled model from nothing (MINUTES=$(MINUTES) of one core; can be stopped and goes on)"
	@echo "make soak    the long load and fault tests; figures go to benchmarks/soak.md"
	@echo "make lint    ruff and mypy"
	@echo "make format  let ruff rewrite the files"
	@echo "make clean   remove the environment and everything generated"
	@echo "Variables: PYTHON=$(PYTHON) TORCH='$(TORCH)' VENV=$(VENV) PORT=$(PORT)"

# xargs splits $(TORCH) into words, so that it may carry options (TORCH='torch --index-url …') as well as '>='.
# A pip that is there and works is the sign of a whole environment: an interrupted or refused `venv` leaves
# a python behind but no pip.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed, this is %d.%d: make PYTHON=/path/to/python3" % sys.version_info[:2])'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	printf '%s\n' '$(TORCH)' | xargs $(PIP) install
	$(PIP) install -e '.[dev]'
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: $(STAMP)
	$(BIN)/ziprerank rank $(DEMO_PDF) --query "$(DEMO_QUERY)" --model tiny --save ranking.png

serve: $(STAMP)
	$(BIN)/ziprerank serve --model tiny --port $(PORT)

test: $(STAMP)
	$(BIN)/python -m pytest

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH)

notebooks: $(STAMP)
	$(BIN)/python scripts/run_notebooks.py

tiny: $(STAMP)
	$(BIN)/python -m scripts.tiny.train --minutes $(MINUTES)

soak: $(STAMP)
	$(BIN)/python -m pytest -m soak

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist ranking.png .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
