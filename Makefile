# `make demo` and `make test` are the two main commands. Both create the environment if there is none.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv
CLIENTS ?= .venv-clients
FLOORS ?= .venv-floors
PYTHON_FLOOR ?= $(PYTHON)
PORT ?= 8000

BIN := $(VENV)/bin
# The stamp has a checksum of $(TORCH) in its name, so that another version of torch is installed.
CHECKSUM := $(shell printf '%s' '$(TORCH)' | cksum | cut -d ' ' -f 1)
STAMP := $(VENV)/.installed-$(CHECKSUM)
CLIENTS_STAMP := $(CLIENTS)/.installed-$(CHECKSUM)
FLOORS_STAMP := $(FLOORS)/.installed-$(CHECKSUM)
LOWEST := build/lowest.txt

MINUTES ?= 105
SOAK ?= tests
JOBS ?= 2
DEMO_PDF := examples/data/annual_report.pdf
DEMO_QUERY := What was the revenue in 2023?

.PHONY: help install install-clients demo serve show test test-browser test-clients test-floors quick soak bench \
	notebooks tiny tiny-pointwise lint format clean
.DEFAULT_GOAL := help

help:
	@echo "make install  create $(VENV), as the commands below do if there is none; make install-clients creates $(CLIENTS)"
	@echo "make demo    rank the pages of $(DEMO_PDF) and save ranking.png"
	@echo "make serve   serve the bundled model over HTTP on 127.0.0.1:$(PORT)"
	@echo "make show    open a page in the browser to try it on your own files"
	@echo "make test    run all tests except the soak tests, on $(JOBS) processes"
	@echo "make test-clients  run clients of Cohere, Jina, NVIDIA, TEI, vLLM and Infinity against a server, in $(CLIENTS)"
	@echo "make test-floors  run all tests with the lowest versions that pyproject.toml allows (PYTHON_FLOOR=python3.10), in $(FLOORS)"
	@echo "make test-browser  run the tests of that page in Chromium (apt-get install chromium chromium-driver)"
	@echo "make quick   run the tests that are not slow, on $(JOBS) processes (JOBS=$(JOBS))"
	@echo "make bench   compare the engine's speed with the baseline's; BENCH='--preset 8b' on a GPU"
	@echo "make notebooks  run the notebooks of examples/ and save their outputs"
	@echo "make tiny    train the bundled model from scratch (MINUTES=$(MINUTES) on one core; can be stopped and continued)"
	@echo "make tiny-pointwise  train the bundled pointwise model on top of it, in minutes"
	@echo "make soak    run the long tests of load, faults, memory, training and guides; figures are written to benchmarks/soak.md (SOAK=$(SOAK))"
	@echo "make lint    run ruff and mypy"
	@echo "make format  format the code with ruff"
	@echo "make clean   remove the environment and everything generated"
	@echo "Variables: PYTHON=$(PYTHON) TORCH='$(TORCH)' VENV=$(VENV) PORT=$(PORT)"

# xargs splits $(TORCH) into words, so that it may have options (TORCH='torch --index-url …') as well as '>='.
# A working pip means a complete environment: an interrupted `venv` leaves a python but no pip.
# The arguments are the environment, the extra, the Python and options of pip.
define install
	@$(3) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed, this is %d.%d: make PYTHON=/path/to/python3" % sys.version_info[:2])'
	@echo "Installing into $(1): the first time this downloads PyTorch and takes some minutes."
	@$(1)/bin/python -m pip --version >/dev/null 2>&1 || $(3) -m venv --clear $(1)
	printf '%s\n' '$(TORCH)' | xargs $(1)/bin/python -m pip --disable-pip-version-check install
	$(1)/bin/python -m pip --disable-pip-version-check install $(4) -e '.[$(2)]'
	@rm -f $(1)/.installed-*
	@touch $@
endef

$(STAMP): pyproject.toml
	$(call install,$(VENV),dev,$(PYTHON))

$(CLIENTS_STAMP): pyproject.toml
	$(call install,$(CLIENTS),clients,$(PYTHON))

$(FLOORS_STAMP): pyproject.toml scripts/lowest_versions.py
	@mkdir -p build
	$(PYTHON_FLOOR) scripts/lowest_versions.py dev --except torch > $(LOWEST)
	$(call install,$(FLOORS),dev,$(PYTHON_FLOOR),-c $(LOWEST))

install: $(STAMP)

install-clients: $(CLIENTS_STAMP)

demo: $(STAMP)
	$(BIN)/ziprerank rank $(DEMO_PDF) --query "$(DEMO_QUERY)" --model tiny --save ranking.png

serve: $(STAMP)
	$(BIN)/ziprerank serve --model tiny --port $(PORT)

show: $(STAMP)
	$(BIN)/ziprerank show

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# The warnings of clients are not errors. With -o, the default options, which leave these tests out, do not apply.
test-clients: $(CLIENTS_STAMP)
	$(CLIENTS)/bin/python -m pytest -o addopts="-q --strict-markers --strict-config" -W default --disable-warnings \
		-m clients tests/clients

# torch's own floor is excepted: the build for $(TORCH) may be on disk, and older ones bring gigabytes of CUDA.
test-floors: $(FLOORS_STAMP)
	@$(FLOORS)/bin/python -c 'import platform, sys; print("The lowest versions on Python", platform.python_version() + \
		("" if sys.version_info[:2] == (3, 10) else ", which is not 3.10: make test-floors PYTHON_FLOOR=/path/to/python3.10"))'
	@echo "torch is not at its floor: $$($(FLOORS)/bin/python -m pip --disable-pip-version-check list 2>/dev/null | grep '^torch ')"
	$(FLOORS)/bin/python -m pytest -n $(JOBS) --dist worksteal
# One process: Chromium and the model share the cores.
test-browser: $(STAMP)
	$(BIN)/python -m pytest -m browser tests/browser

quick: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not soak and not torchao and not browser"

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH)

notebooks: $(STAMP)
	$(BIN)/python scripts/run_notebooks.py

tiny: $(STAMP)
	$(BIN)/python -m scripts.tiny.train --minutes $(MINUTES)

tiny-pointwise: $(STAMP)
	$(BIN)/python -m scripts.tiny_pointwise.train

soak: $(STAMP)
	$(BIN)/python -m pytest -m soak $(SOAK)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers $(JOBS)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(CLIENTS) $(FLOORS) build dist ranking.png .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
