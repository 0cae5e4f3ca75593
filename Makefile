# make demo: set everything up and score the example photographs.   make test: lint, types, all tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Touched when the installation is complete; a change of what is to be installed renews it.
READY := $(VENV)/.ready

.PHONY: demo test lint types embedded clean

demo: $(READY)
	$(BIN)/grmp score examples

# Two processes of one thread each, a file's tests in one of them; files that take long come first.
test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# Trains the embedded models from photographs and ratings; resumes where it was interrupted. The two settings
# keep glibc from returning memory at every step.
embedded: $(READY)
	@test -n "$(PHOTOGRAPHS)" -a -n "$(RATINGS)" || \
		{ echo "usage: make embedded PHOTOGRAPHS=folder RATINGS=ratings.csv" >&2; exit 2; }
	MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184 \
	$(BIN)/python -m grmp_plugin.training.embedded configs/tiny/embedded.yml --work .work/embedded \
		--photographs "$(PHOTOGRAPHS)" --ratings "$(RATINGS)"

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
