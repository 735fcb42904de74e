# The two commands of the README are `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow bench check docs format lock clean

demo: $(READY)  ## the main job on a real model and real reviews, then one opt-out
	$(BIN)/sift demo demo-workspace

# Two processes on two cores: a third one hinders both.
test: $(READY)  ## the default tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(READY)  ## the slow tests: minutes each
	$(BIN)/python -m pytest -m slow

bench: $(READY)  ## what removing, finetuning and keeping cost: ten minutes, on a quiet machine
	$(BIN)/python -m benchmarks.cost

check: docs  ## formatter, linter, type checker, the site of the docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(READY)  ## the site, in site/: a broken link or a page outside of its contents fails
	$(BIN)/properdocs build --quiet --clean

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The virtual environment, from the pinned versions; made again when these files change.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

lock:  ## renew constraints.txt: newest versions that resolve within pyproject.toml's ranges
	rm -rf .lock && $(PYTHON) -m venv .lock
	.lock/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	{ echo "# Tested versions; written by 'make lock'. CI and the Makefile install from it."; \
	  .lock/bin/python -m pip freeze --exclude-editable | sed -E 's/\+[A-Za-z0-9.]+$$//' \
	    | grep -Eiv '^(nvidia|triton|cuda)[-_]'; } > constraints.txt
	rm -rf .lock

clean:
	rm -rf $(VENV) .lock .bench site demo-workspace
