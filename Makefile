# `make help` lists the targets. Everything runs in .venv, which is set up on first use.

SHELL := /bin/bash
PYTHON ?= python3
# Targets and files are named from this folder: make takes a path with a space in it for two. This line alone needs the
# whole path, which make passes on as it is.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export CELL FILE FOLDER IMAGE INDEX NAME TO
# DVC needs a home for its settings and a name, also where the user has none (a container).
export HOME := $(or $(HOME),$(CURDIR)/.dvc/tmp/home)
export LOGNAME := $(or $(LOGNAME),$(USER),$(shell id -un 2>/dev/null),user)

.DEFAULT_GOAL := help
.PHONY: help setup study repro sweep report ui track register onnx index measure search export serve verify published \
	share fetch-results check-shared schema test test-quick check docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: .venv/.repro ## make .venv and install requirements.txt

study: .venv/.repro ## write params.yaml for the study NAME (FORCE=1 overwrites edits); without NAME, list the studies
	@python -m pipeline study "$$NAME" $(if $(FORCE),--force)

repro: .venv/.repro ## run what is out of date (dvc repro), then print the results table
	@python -m pipeline check >/dev/null
	dvc repro
	@python -m pipeline results

ui: .venv/.repro track ## open MLflow on the results (prints the address of the training runs)
	@exec python -m pipeline ui

sweep: .venv/.repro ## run what is out of date in parallel: all cores and GPUs, or RAY_ADDRESS's cluster (ARGS=--dry-run)
	@python -m pipeline sweep $(ARGS)
	@$(if $(findstring --dry-run,$(ARGS)),,python -m pipeline results)

report: .venv/.repro ## make tables and page from the cells that are there, when some failed
	python -m stages.aggregate
	python -m stages.report
	@python -m pipeline results

track: .venv/.repro ## bring all results of the study into MLflow
	@python -m pipeline track

register: .venv/.repro ## the best network of CELL=method-quantizer-bits as a model in MLflow
	@python -m pipeline register "$$CELL"

onnx: .venv/.onnx ## the network of CELL=method-quantizer-bits[-seed] as an ONNX file, FILE=CELL.onnx
	@python -m pipeline onnx "$$CELL" "$${FILE:-$$CELL.onnx}"

index: .venv/.search ## a search index by the codes of CELL=method-quantizer-bits[-seed] (ARGS="--kind hnsw")
	@python -m pipeline index "$$CELL" $(ARGS)

measure: .venv/.search ## recall, speed and memory of all kinds of index on the codes of CELL
	@python -m pipeline measure "$$CELL"

search: .venv/.search ## the images of INDEX=folder nearest to an image, IMAGE=file (ARGS="--json")
	@python -m pipeline search "$$INDEX" "$$IMAGE" $(ARGS)

export: .venv/.search ## the codes of INDEX=folder for other software, TO=numpy, pgvector, usearch, milvus or qdrant (FOLDER=folder)
	@python -m pipeline export "$$INDEX" "$$TO" $(if $(FOLDER),"$$FOLDER")

serve: .venv/.search ## a search page and JSON API of INDEX=folder (ARGS="--port 8001")
	@exec python -m pipeline serve "$$INDEX" $(ARGS)

verify: .venv/.repro ## check that every number in the tables follows from the stored codes
	@python -m pipeline verify

published: .venv/.repro ## count which of the published numbers have a counterpart in results/
	@python -m pipeline published

share: .venv/.repro ## give results to colleagues: push them to the DVC remote, run cache included
	@python -m pipeline share

fetch-results: .venv/.repro ## get the results of the commit that is checked out from the DVC remote
	@python -m pipeline fetch-results

check-shared: .venv/.repro ## name the stages whose results the DVC remote lacks
	@python -m pipeline check-shared

schema: .venv/.repro ## after an edit of pipeline/params/schema.py or of a signature: write studies/params.schema.json
	@python -m pipeline schema

# More workers than two cores: many tests wait for servers and for processes that end.
test: .venv/.test ## run the tests
	python -m pytest -n 3 --dist loadgroup $(PYTEST)

test-quick: .venv/.test ## run the tests that need no servers, browsers, training or DVC runs, in under 2 minutes
	python -m pytest -n 2 --dist loadgroup -m "not slow" $(PYTEST)

check: .venv/.test ## run the linter, the formatter's check and the type checker
	ruff check .
	ruff format --check .
	mypy

docs: .venv/.test ## build the documentation as a site in site/; a dead link fails
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --quiet

clean: ## remove .venv and caches; results and the DVC cache stay
	rm -rf .venv site .pytest_cache .ruff_cache .mypy_cache .hypothesis

.venv/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed, $$("$(PYTHON)" --version) was found; try make PYTHON=python3.12" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv

.venv/.repro: requirements.txt | .venv/bin/python
	.venv/bin/python -m pip install --quiet -r requirements.txt
	@touch $@

.venv/.onnx: requirements-onnx.txt .venv/.repro
	.venv/bin/python -m pip install --quiet -r requirements-onnx.txt
	@touch $@

.venv/.search: requirements-search.txt requirements-onnx.txt .venv/.repro
	.venv/bin/python -m pip install --quiet -r requirements-search.txt
	@touch $@

.venv/.test: requirements-dev.txt requirements-offline.txt requirements-onnx.txt requirements-search.txt requirements-timm.txt \
		.venv/.repro
	.venv/bin/python -m pip install --quiet -r requirements-dev.txt
	@touch $@
