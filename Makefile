# Each target sets itself up: the first call makes .venv and installs pinned versions,
# later calls reuse it until pyproject.toml or constraints.txt changes.
#
#   make demo ARGS=--help             pass arguments on
#   make test PYTHON=/opt/python3.13  choose the interpreter
#   make test PIP_FLAGS='--extra-index-url https://download.pytorch.org/whl/cpu'
#                                     CPU-only torch, which saves gigabytes on Linux

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo test figures proofs bench readme lint clean

PYTHON ?= python3.11 python3
PIP_FLAGS ?=
ARGS ?=
BIN := .venv/bin
READY := .venv/.installed

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## run the demonstration; results go to out/
	@$(BIN)/spectheory demo $(ARGS)

test: lint ## run the linters, then every test and doctest
	@echo "==> pytest"
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n 2 --benchmark-disable $(ARGS)

figures: $(READY) ## redraw the figures from their tables
	@$(BIN)/python -m figures $(ARGS)

proofs: $(READY) ## verify every theorem
	@$(BIN)/python -m proofs $(ARGS)

bench: $(READY) ## time the rules and kernels
	@$(BIN)/python -m sims.bench $(ARGS)

readme: $(READY) ## rewrite the generated part of README.md
	@$(BIN)/python -m spectheory.catalogue --write README.md

lint: $(READY) ## check format, style, types and import directions
	@echo "==> ruff"
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@echo "==> mypy"
	@$(BIN)/mypy spectheory
	@echo "==> import-linter"
	@$(BIN)/lint-imports --no-logo

# `rm -rf .venv` too for a fresh installation.
clean: ## remove caches, builds and results
	@rm -rf out build dist *.egg-info .benchmarks .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	@find . -name .venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

# The stamp goes first and comes back last, so an interrupted installation starts again.
$(READY): pyproject.toml constraints.txt
	@rm -f $@
	@for python in $(PYTHON); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$python; break; \
		fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
		echo "error: Python 3.11 or newer not found (tried: $(PYTHON)); set PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "==> making .venv with $$("$$found" --version)"; \
		"$$found" -m venv --clear .venv; \
	fi
	@echo "==> installing about 100 packages into .venv, once (a few minutes)"
	@set -o pipefail; \
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off $(PIP_FLAGS) \
		-c constraints.txt -e '.[all,test,peers]' 2>.venv/pip.log \
		| awk '/^(Collecting|Processing) / {sub(/.*\//, "", $$2); sub(/(-[0-9]|[<>=~!;[]).*/, "", $$2); \
		       printf "%s ", $$2; fflush()} /^Installing coll/ {print "\n==> unpacking"; fflush()}' \
		|| { cat .venv/pip.log >&2; exit 1; }
	@$(BIN)/python -m pip check
	@touch $@
