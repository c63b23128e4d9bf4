# Every target sets up what it needs: a virtual environment in .venv, installed once, and again
# when the dependencies change. `make PYTHON=python3.12 test` takes another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
TORCH := $(shell sed -n '/^torch==/p' constraints.txt)

.PHONY: help demo paper api docs test check

help:
	@echo "make demo   train small networks on the packaged digits and look at their structure"
	@echo "make paper  replicate the paper (an hour on two cores) and write docs/paper.md"
	@echo "make api    write what pages have from the program: docs/api.md, docs/commands.md, outputs of commands"
	@echo "make docs   make a site of the documentation in build/docs; it needs no network"
	@echo "make test   run all tests"
	@echo "make check  lint, check the format, the types and the layers"

# Small networks train fastest on a thread each, two side by side.
demo: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python analyses/demo.py

# What is finished is not done again: stop it whenever you like.
paper: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python analyses/paper.py small --out runs/paper --page docs/paper.md

api: $(INSTALLED)
	$(BIN)/python docs/make_api.py
	$(BIN)/python docs/make_commands.py
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_outputs.py

# The variable keeps Material for MkDocs from announcing the end of its own life in every build. With `--quiet` mkdocs
# would not count warnings, which are errors here.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --config-file docs/site/mkdocs.yml
	@echo "build/docs/index.html"

# Two workers, a thread each: a thread pool in each of them would only fight for the cores.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "masktools needs Python 3.11 or later, $(PYTHON) is not: try make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH) -e '.[dev]'
	@touch $@
