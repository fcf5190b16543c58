# Two commands are enough: `make demo` and `make test`. Each sets up .venv from the locked dependencies by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check soak lock reference onnx-table clean
demo: $(READY)
	$(BIN)/armillary demo

# What computes uses two cores. What starts processes comes after it, one test at a time: it waits for ports and answers.
test: check
	$(BIN)/python -m pytest -m "not soak" --numprocesses 2 --dist loadfile --ignore tests/integration
	$(BIN)/python -m pytest -m "not soak" tests/integration

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(READY)
	$(BIN)/python -m pytest -m soak

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Armillary needs Python 3.11 or newer: install it, or name it with make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: install your system's python3-venv package"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.txt || \
	  { echo "The locked dependencies could not be installed; if one had to be compiled here, install a C compiler, Python's headers and libgmp's (Debian: build-essential python3-dev libgmp-dev)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# docs/reference.md, from what the standard modules declare; a test compares it.
reference: $(READY)
	$(BIN)/python -m tools.reference

# docs/onnx-ops.md, from the ONNX standard's own test cases; takes a minute or two.
onnx-table: $(READY)
	$(BIN)/armillary conformance --markdown docs/onnx-ops.md

# Needs uv (pip install uv). Writes hashes, and no index addresses.
lock:
	uv pip compile pyproject.toml requirements.build.in --group dev --overrides requirements.overrides.txt --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -o requirements.txt

clean:
	rm -rf $(VENV) build *.egg-info
