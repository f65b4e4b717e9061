# Every verb sets up what it needs: a machine with Python 3.11 or 3.12 and a package index is enough.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ENV ?= sample
RUNS ?= last-2
VERSION ?=
REASON ?=
DRY ?=
HEADLESS ?=
WORKERS ?= 2
PARAMS ?=
PYTHON ?= $(shell command -v python3.11 || command -v python3.12)
BIN := .venv/bin

export DO_NOT_TRACK := true
# TensorFlow's start-up lines tell a user nothing to act on.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help
help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  %-12s %s\n", $$1, $$2}'

.venv/installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed and neither was found: install one, or name it: make install PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: install
install: .venv/installed ## Make .venv/ with the exact versions of requirements.lock

.PHONY: doctor
doctor: install ## Does this machine have what runs need: versions, devices, disk, the MLflow store
	@$(BIN)/python -m minigpt_pipeline.doctor

.PHONY: run
run: install ## Run all pipelines (ENV=sample: the embedded corpus, minutes; ENV=base: the real reviews, an hour)
	$(BIN)/kedro run --env $(ENV)

.PHONY: train-workers
train-workers: install ## Train with several processes on this machine, a try of strategy=multi_worker (WORKERS=2 ENV=test PARAMS=...)
	@exec $(BIN)/python -m minigpt_pipeline.local_workers --workers $(WORKERS) --env $(ENV) --params "$(PARAMS)"

.PHONY: lint
lint: install ## Style, types, import contracts, and what bandit finds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml src benchmarks

.PHONY: test
test: lint ## Lint and the tests (12 minutes at most on two cores)
	$(BIN)/pytest -m "not full" -n 2 --dist loadfile

.PHONY: test-fast
test-fast: install ## The tests that take seconds
	$(BIN)/pytest -m "not slow and not full"

.PHONY: test-full
test-full: lint ## All tests, also those that take minutes
	$(BIN)/pytest

.PHONY: test-services
test-services: install ## MLflow on a real PostgreSQL and an S3-compatible store: a cycle through both, faults (minutes; needs PostgreSQL)
	MINIGPT_SERVICES=required $(BIN)/pytest tests/services

.PHONY: faults
faults: install ## Every pipeline killed, out of disk and memory, without MLflow (hours; MINIGPT_FAULT_SEED=20 MINIGPT_KILLS=210)
	$(BIN)/pytest -v tests/faults

.PHONY: audit
audit: install ## Advisories about the packages of requirements.lock (needs the internet), and an SBOM of them in build/sbom.json
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml --output-file build/sbom.json requirements.lock
	@BIN=$(BIN) .ci/audit

.PHONY: fuzz
fuzz: TARGET ?= all
fuzz: SECONDS ?= 3600
fuzz: install ## Look for input that something unexplained happens with (TARGET=archive|standardization|parameters|requests|checkpoint|all SECONDS=3600)
	$(BIN)/python -m tests.hostile.fuzz $(TARGET) --seconds $(SECONDS)

.PHONY: soak
soak: CYCLES ?= 500
soak: install ## Many retraining cycles in a copy of the project, and what each leaves behind (CYCLES=500: hours; goes on behind a stop)
	$(BIN)/python -m benchmarks.soak --cycles $(CYCLES) --folder build/soak
	$(BIN)/python -m benchmarks.soak_report build/soak

.PHONY: bench
bench: install ## Measure speed and memory against plain Keras, interleaved (an hour): benchmarks/README.md
	$(BIN)/python -m benchmarks

.PHONY: bench-quick
bench-quick: install ## The same in minutes, without the sizes: shows the order of things only
	$(BIN)/python -m benchmarks --quick

.PHONY: ui
ui: PORT ?= 5000
ui: install ## MLflow's pages, with a link to the runs (PORT=5000)
	@case "$${MLFLOW_TRACKING_URI:-}" in http*) echo "MLFLOW_TRACKING_URI names a server: its pages are there" >&2; exit 1;; esac
	@echo "The runs: http://127.0.0.1:$(PORT)/#/experiments/1/runs?workflowType=machine_learning"
	MLFLOW_BACKEND_STORE_URI="$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" \
		MLFLOW_ARTIFACTS_DESTINATION="$${MINIGPT_ARTIFACTS:-mlartifacts}" MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		$(BIN)/mlflow server --host 127.0.0.1 --port $(PORT) --workers 1

.PHONY: schedule
schedule: PORT ?= 3000
schedule: install ## Run the schedules of conf/base/schedules.yml until Ctrl-C, with Dagster's pages (PORT=3000; HEADLESS=1: without)
	@exec $(BIN)/python -m minigpt_pipeline.scheduling --port $(PORT) $(if $(HEADLESS),--headless)

.PHONY: serve
serve: install ## Serve the champion over HTTP, with a page, until Ctrl-C (PORT=8000)
	@exec $(BIN)/python -m minigpt_pipeline.serving $(if $(PORT),--port $(PORT))

.PHONY: compare
compare: install ## One page that compares runs: RUNS="ID ID ..." (beginnings of ids, names, last, last-3; default last-2)
	$(BIN)/kedro run --pipelines comparison --params "comparison.runs=\"$(RUNS)\""

.PHONY: versions
versions: install ## The versions of the registered model, which of them is in use, and why
	@$(BIN)/python -m minigpt_pipeline.release versions

.PHONY: rollback
rollback: install ## Put the champion before in use again, or any version: VERSION=3 REASON="..."
	@$(BIN)/python -m minigpt_pipeline.release rollback --version "$(VERSION)" --reason "$(REASON)"

.PHONY: tidy
tidy: install ## Remove what conf/base/retention.yml does not keep, as each retraining does (DRY=1: only say what would go)
	@$(BIN)/python -m minigpt_pipeline.tidy --env $(ENV) $(if $(DRY),--dry-run)

.PHONY: samples
samples: install ## Texts of the model of ENV for each preset, none picked, in docs/samples.md (make samples ENV=base)
	$(BIN)/python -m benchmarks.write_samples --env $(ENV)

.PHONY: sweep
sweep: install ## Search for better parameters (ENV=sample: half an hour; ENV=base: a night); what was killed or has ended goes on
	$(BIN)/kedro run --pipelines sweep --env $(ENV)

.PHONY: results
results: install ## Make every figure of README again (a night), but for trainings that are kept: benchmarks/README.md
	$(BIN)/kedro run --pipelines data --env base
	$(BIN)/python -m benchmarks training generation serving data startup scaling
	$(BIN)/python -m benchmarks time_to_perplexity perplexity_scaling
	$(BIN)/kedro run --env sample
	$(BIN)/kedro run --env base --params vectorization.tokenizer=subword
	$(BIN)/kedro run --env base
	$(BIN)/kedro run --env base --pipelines promotion
	$(BIN)/python -m benchmarks load --project .
	$(BIN)/python -m benchmarks.write_samples --env base
	$(BIN)/python -m benchmarks.write_results

.PHONY: docs
docs: install ## Draw the pictures of docs/architecture.md from the code
	$(BIN)/python docs/draw_architecture.py

.PHONY: viz
viz: PORT ?= 4141
viz: install ## Kedro-Viz: the pipelines as a picture (PORT=4141)
	$(BIN)/kedro viz run --env $(ENV) --port $(PORT)

.PHONY: screenshots
screenshots: install ## The pictures of README: two trainings of `sample` in a browser (minutes; needs Chromium or Chrome)
	MINIGPT_SCREENSHOTS="$(CURDIR)/docs/images" $(BIN)/pytest --timeout 1200 tests/ui

.PHONY: lock
lock: install ## Resolve pyproject.toml again into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra cluster --extra dev --extra schedule --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

.PHONY: clean
clean: ## Remove what runs have made; the archive, new data, mlflow.db and its artifacts stay
	rm -rf data/0[2-8]_* data/[!0]*/0[2-8]_* build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find data -mindepth 1 -maxdepth 1 -type d -empty ! -name 01_raw -delete
