# make demo: install, and score the example photographs.   make test: lint, types, and all but the slow tests.
# make test-all: all tests.   make docs: the documentation.   make test-oldest: tests with the oldest dependencies.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Touched when the installation is complete; remade when the requirements change.
READY := $(VENV)/.ready
# The oldest Python and the oldest versions of all dependencies; see constraints-oldest.txt.
PYTHON_OLDEST ?= python3.10
VENV_OLDEST := .venv-oldest
READY_OLDEST := $(VENV_OLDEST)/.ready
# Two processes with one thread each; all tests of a file run in one process, files that take long first.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-long test-all test-oldest lint types docs embedded clean

demo: $(READY)
	$(BIN)/grmp score examples

# Where CI is set, with the slow tests.
test: lint types
	$(PYTEST) -m "not long$(if $(CI),, and not slow)"

test-long: $(READY)
	$(PYTEST) -m long

test-all: lint types
	$(PYTEST)

test-oldest: $(READY_OLDEST)
	OMP_NUM_THREADS=1 $(VENV_OLDEST)/bin/python -m pytest -n 2 --dist loadfile tests/unit tests/golden

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# Warnings are errors.
docs: $(READY)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs

# Trains the embedded models from photographs and ratings; resumes after an interruption. The two settings keep
# glibc from returning memory to the system at every step.
embedded: $(READY)
	@test -n "$(PHOTOGRAPHS)" -a -n "$(RATINGS)" || \
		{ echo "usage: make embedded PHOTOGRAPHS=folder RATINGS=ratings.csv" >&2; exit 2; }
	MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184 \
	$(BIN)/python -m grmp_plugin.training.embedded configs/tiny/embedded.yml --work .work/embedded \
		--photographs "$(PHOTOGRAPHS)" --ratings "$(RATINGS)"

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo 'installing the dependencies: some minutes, about 8 GB'
	$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[test,docs,onnx,ray]'
	touch $@

$(READY_OLDEST): pyproject.toml constraints-oldest.txt
	test -x $(VENV_OLDEST)/bin/python || $(PYTHON_OLDEST) -m venv $(VENV_OLDEST)
	$(VENV_OLDEST)/bin/python -m pip install --quiet --upgrade pip
	$(VENV_OLDEST)/bin/python -m pip install -qq --constraint constraints-oldest.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV_OLDEST) build dist *.egg-info
