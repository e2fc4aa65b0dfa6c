# `make demo` and `make test` do all their own set-up in .venv; nothing is installed outside it but the
# browser of `make browser`.
PYTHON ?= python3
VENV := .venv
DEVICE ?= cuda
BIN := $(VENV)/bin
# each run is kept, and compared with the one before
KERNELS := -p no:cacheprovider --benchmark-storage=benchmarks/results/kernels --benchmark-autosave --benchmark-compare \
  --benchmark-columns=median,iqr,rounds -W default::pytest_benchmark.logger.PytestBenchmarkWarning
INSTALL := PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test browser test-real lint bench bench-device growth text-sets gallery architectures clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "isodepth needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing isodepth into $(VENV) (about a minute the first time) ..."
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(INSTALL) --editable '.[test]'
	@touch $@

demo: $(VENV)/.installed  ## run studies/demo.toml and draw it; writes ./demo
	$(BIN)/isodepth run studies/demo.toml --out demo/study
	$(BIN)/isodepth demo --out demo

test: lint  ## all checks and tests that need no model download
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/engines  # a thread a process
	$(BIN)/python -m pytest tests/engines  # these start clusters, which want the machine for themselves

browser:  ## install Chromium, in which the report is tested (as root, by apt-get)
	@if command -v chromium > /dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then \
	  echo "make browser: Chromium is installed by root, on Debian. Elsewhere, put a 'chromium' on the PATH." >&2; \
	  exit 1; \
	fi; \
	echo "Installing Chromium ..."; \
	apt-get -qq update && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium fonts-dejavu-core > /dev/null

lint: $(VENV)/.installed-test
	$(BIN)/ruff check src tests benchmarks examples studies
	$(BIN)/ruff format --check src tests benchmarks examples studies
	$(BIN)/mypy
	$(BIN)/lint-imports

test-real: $(VENV)/.installed-test  ## tests on the offline models, and slow ones (about 10 minutes)
	$(BIN)/python -m pytest -m "real or slow"

$(VENV)/.installed-bench: $(VENV)/.installed-test
	$(INSTALL) --editable '.[test,bench]'
	@touch $@

bench: $(VENV)/.installed-bench  ## speed and memory against plain ways and peers (under 15 minutes)
	$(BIN)/python -m benchmarks --out benchmarks/results
	$(BIN)/python -m pytest benchmarks/kernels.py $(KERNELS)

bench-device: $(VENV)/.installed-test  ## extraction on a GPU (DEVICE=cuda): against one by one and its limit
	$(BIN)/python -m benchmarks.device --device $(DEVICE)

growth: $(VENV)/.installed-bench  ## docs/cost.json and its picture: how time grows (about 10 minutes)
	$(BIN)/python -m benchmarks.growth --out docs

text-sets: $(VENV)/.installed-test  ## two small models on every offline text set (about half an hour)
	$(BIN)/python -m studies.text_sets --out text-sets

gallery: $(VENV)/.installed-test  ## docs/gallery: all figures of the published matrices in PUBLISHED (two minutes)
	@test -n "$(PUBLISHED)" || { echo "make gallery: PUBLISHED=FOLDER says where the published .npz files are." >&2; exit 1; }
	$(BIN)/python -m studies.gallery "$(PUBLISHED)" --out docs/gallery

architectures: $(VENV)/.installed-test  ## docs/architectures.md, from tiny models (half a minute)
	PYTHONPATH=tests $(BIN)/python -m conformance.architecture_table

clean:  ## remove .venv and what the demo wrote
	rm -rf $(VENV) demo text-sets
