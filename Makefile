# make repro   set everything up and run the pipeline          make test   set up, then every check and test
# make ui      look at the runs in MLflow                      make deps   rewrite the modules in dvc.yaml
# make lock    rewrite constraints.txt from this environment
# make ci      run again, compare with what is committed, and write rerun/report.md beside the commit BASE
# make remote  keep DVC's cache at REMOTE, for this checkout alone

PYTHON ?= python3
export BASE ?= main
export REMOTE
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: setup repro test ci remote ui deps lock
setup: $(BIN)/.complete

# The constraints keep every machine on the same versions; git and DVC get what they ask for.
$(BIN)/.complete: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	git rev-parse --git-dir > /dev/null 2>&1 || git init --quiet
	touch $@

repro: setup
	reprise check
	dvc repro

test: setup
	ruff format --check .
	ruff check .
	mypy
	pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0

ci: setup
	reprise check
	reprise rerun --base "$$BASE"

remote: setup
	: "$${REMOTE:?is empty; make remote REMOTE=s3://bucket/folder}"
	dvc remote add --local --default --force store "$$REMOTE"

ui: setup
	reprise ui

deps: setup
	reprise deps

lock: setup
	pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt
