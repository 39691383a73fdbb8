# What a person types. Each target sets up what it needs: Python 3.11+ and make are enough.
# `make` alone lists the targets.

.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export SAM_CLI_TELEMETRY := 0

.PHONY: help
help: ## list the targets
	@awk -F ':[^#]*## ' '/^[a-z0-9-]+:.*##/ { printf "%-23s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A venv of these tools takes 800 MiB, what is downloaded on the way about as much again.
$(READY): .ci/requirements.txt .ci/find-python
	@bash .ci/need-room . 1600
	@python=$$(bash .ci/find-python) && \
	  bash .ci/say "set up" "$(VENV), once" bash .ci/make-venv "$(VENV)" "$$python"
	@touch $@

# `archiver` is this folder's own: edited, it needs no installing again.
$(BIN)/archiver: $(READY) pyproject.toml
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --offline --python $(BIN)/python --editable .
	@touch $@

.PHONY: setup
setup: $(BIN)/archiver ## install the locked tools, and `archiver`, into .venv

# --- see it work ---

SIZE_MIB ?= 256

.PHONY: demo
demo: build-local $(BIN)/archiver ## archive exports of several sizes on the embedded cloud (SIZE_MIB=1024 for more)
	@$(BIN)/archiver demo --size-mib $(SIZE_MIB)

.PHONY: local
local: build-local $(BIN)/archiver ## keep the embedded cloud up for people and tools (ARGS="--help")
	@$(BIN)/archiver local $(ARGS)

# --- is it right? ---

# Tests read our own files, which are UTF-8 whatever the locale says.
test test-wide taint faults test-s3 test-page fuzz lake kills check: export PYTHONUTF8 := 1

# Images set this variable; pytest would then rewrite each test file in each process, and every
# process that a test starts would compile what it imports.
KEEP_BYTECODE := env -u PYTHONDONTWRITEBYTECODE

# Tables of the vendor's and S3's odd answers, each row a run of the handler; the manual's commands, by
# AWS's own command line; simulated worlds: what makes `make test` more than five minutes long
# (docs/decisions/2026-11-26-what-make-test-runs.md, 2026-11-26-what-earns-its-keep.md).
WIDE := tests/alarms tests/faults tests/fuzz tests/lake tests/integration/test_local_cloud_life.py \
  tests/integration/test_load_exports.py $(addprefix tests/end_to_end/test_,alarms.py kills.py \
  least_privilege.py lost_table.py operations.py reconcile.py up.py) \
  $(addprefix tests/functional/test_,answers.py copies_spoilt.py finding.py links.py outages.py \
  resuming.py vendor_answers.py wrong_bytes.py)
PYTEST := $(KEEP_BYTECODE) $(BIN)/python -m pytest -p tests.taint.plugin -n 6 --dist loadscope

# What linters and `make check` judge is judged there alone.
.PHONY: test
test: build-local $(BIN)/archiver ## unit, template, functional, integration, end to end: all but test-wide, test-page and test-s3
	@$(BIN)/python -m tests.locked_venv .cache/cli/venv .ci/cli-requirements.txt
	@$(PYTEST) --ignore tests/architecture $(addprefix --ignore ,$(WIDE)) $(ARGS)

.PHONY: test-wide
test-wide: build-local $(BIN)/archiver ## the rest: what takes long, each odd answer, link and wrong byte; alarms; a smoke of faults and fuzz
	@$(BIN)/python -m tests.locked_venv .cache/cli/venv .ci/cli-requirements.txt
	@$(PYTEST) $(WIDE) $(ARGS)

# `make test` searches as well; here are the tiers alone in which our code runs.
.PHONY: taint
taint: build-local ## no secret in log, trace, metric, event, table, queue, metadata or output: searched for
	@$(BIN)/python -m tests.locked_venv .cache/cli/venv .ci/cli-requirements.txt
	@$(PYTEST) tests/taint tests/unit tests/functional tests/integration tests/end_to_end $(ARGS)

.PHONY: faults
faults: $(READY) ## seeded fault schedules, and the breakages they must catch: N=10000 ORDERS=1000 SEED=1 (N=1: its trace)
	@$(BIN)/python -m tests.faults --schedules $(or $(N),10000) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.faults.orders_runner --schedules $(or $(ORDERS),1000) $(if $(SEED),--seed $(SEED))

.PHONY: explore
explore: $(READY) ## every schedule of small scenarios, and the breakages they must catch (PREEMPTIONS=2 FAULTS=1 SECONDS=60, of CPU, a scenario)
	@$(BIN)/python -m tests.faults.explore \
	  $(if $(PREEMPTIONS),--preemptions $(PREEMPTIONS)) $(if $(FAULTS),--faults $(FAULTS)) $(if $(SECONDS),--seconds $(SECONDS))
	@$(BIN)/python -m tests.faults.orders_runner --level 2 --seconds $(or $(SECONDS),60)

# In a venv of their own, made from their own lock; nothing leaves this machine once it is there.
.PHONY: test-s3
test-s3: build-local ## the copy against S3s that others wrote: LocalStack's, rclone's, SeaweedFS
	@$(BIN)/python -m tests.locked_venv .cache/s3/venv .ci/s3-requirements.txt
	@$(BIN)/python -m pytest tests/s3 $(ARGS)

# A real browser, found or installed by .ci/find-browser; what drives it has a venv of its own. It takes the pictures of
# docs/ on its way, into .cache/page or where PICTURES says.
.PHONY: test-page
test-page: $(READY) ## the page of `archiver report` in a real Chromium; its pictures (PICTURES=docs)
	@$(BIN)/python -m tests.locked_venv .cache/page/venv .ci/page-requirements.txt
	@browser=$$(bash .ci/find-browser) && BROWSER_PATH="$$browser" PICTURES="$(PICTURES)" \
	  .cache/page/venv/bin/python -m pytest --confcutdir tests/page tests/page $(ARGS)

.PHONY: page-lock
page-lock: $(READY) # refresh the lock of what drives the browser
	$(BIN)/uv pip compile --quiet --upgrade .ci/page-requirements.in -c .ci/requirements.txt \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -o .ci/page-requirements.txt

.PHONY: elsewhere
elsewhere: $(READY) ## set up, build and demo in a folder with blanks, without git, behind a proxy, in ASCII
	@$(BIN)/python -m pytest tests/elsewhere $(ARGS)

.PHONY: s3-lock
s3-lock: $(READY) # refresh the lock of the S3 servers
	$(BIN)/uv pip compile --quiet --upgrade .ci/s3-requirements.in \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -o .ci/s3-requirements.txt

.PHONY: fuzz
fuzz: $(READY) ## bad input against what is promised (N=50000 SEED=1 TARGET=links)
	@PYTHONPATH=layers/archiver $(BIN)/python -m tests.fuzz $(if $(N),--cases $(N)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(TARGET),--target $(TARGET))

.PHONY: lake
lake: $(READY) ## random tables and revisions: no cell is lost, none read twice (N=10000 HISTORIES=1000 SEED=1 ONLY=n)
	@PYTHONPATH=docs/examples/load_exports:layers/archiver $(BIN)/python -m tests.lake $(if $(N),--tables $(N)) \
	  $(if $(HISTORIES),--histories $(HISTORIES)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

.PHONY: alarms
alarms: $(READY) ## which alarm tells what, how soon and how often: the table of docs/operations.md
	@PYTHONPATH=layers/archiver $(BIN)/python -m tests.alarms

.PHONY: kills
kills: build-local ## kill the real runtime in mid-copy (N=100 SEED=x TIME_OUTS=1; with BREAK=checkpoint it must fail)
	@$(BIN)/python -m tests.kills $(if $(N),--kills $(N)) $(if $(SEED),--seed $(SEED)) $(if $(TIME_OUTS),--time-outs) \
	  $(if $(BREAK),--break $(BREAK))

.PHONY: cli-lock
cli-lock: $(READY) # refresh the lock of the AWS command line that the manual's commands are tried with
	$(BIN)/uv pip compile --quiet --upgrade .ci/cli-requirements.in \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -o .ci/cli-requirements.txt

.PHONY: check
check: $(BIN)/archiver check-template audit-lock ## formatting, lint, types, template, locks, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/architecture

.PHONY: check-template
check-template: $(READY) ## lint template.yaml as CloudFormation and as SAM
	$(BIN)/cfn-lint template.yaml
	PATH="$(CURDIR)/$(BIN):$$PATH" bash .ci/sam-offline validate --lint --region us-east-1

# What it cannot see, and how to see that with a network, is in docs/deploying.md.
.PHONY: audit-lock
audit-lock: $(READY) ## review the locks: pins, hashes, licences, reasons; asks no network
	@bash .ci/audit-licences $(BIN)/python
	@$(BIN)/python -m pytest tests/architecture/test_locks.py

.PHONY: audit-known
audit-known: $(READY) ## ask the public databases for known vulnerabilities of the locked packages (internet)
	@$(BIN)/python -m tests.locked_venv .cache/audit/venv .ci/audit-requirements.txt
	@.cache/audit/venv/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  -r layers/dependencies/requirements.txt -r .ci/requirements.txt

.PHONY: pip-audit-lock
pip-audit-lock: $(READY) # refresh the lock of pip-audit
	$(BIN)/uv pip compile --quiet --upgrade .ci/audit-requirements.in \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -o .ci/audit-requirements.txt

# checkov has a venv of its own (its pins are not ours), made from its own lock; nothing leaves this machine.
.PHONY: check-security
check-security: $(READY) ## checkov on the expanded template: no finding, no idle suppression
	@$(BIN)/python -m tests.locked_venv .cache/security/venv .ci/security-requirements.txt
	@$(BIN)/python -m tests.security.scan .cache/security/venv/bin/checkov

.PHONY: security-lock
security-lock: $(READY) # refresh checkov's lock
	$(BIN)/uv pip compile --quiet --upgrade .ci/security-requirements.in \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -o .ci/security-requirements.txt

# --- what it costs ---

.PHONY: bench
bench: $(READY) ## engine, peers and floor: CPU, memory, requests, dollars (ARGS="--runs 5 --json PATH")
	@$(BIN)/python -m tests.bench.compare $(ARGS)

.PHONY: bench-cold
bench-cold: build-local ## CPU of a cold start, and each import's share (ARGS="--json PATH")
	@$(BIN)/python -m tests.bench.cold $(ARGS)

.PHONY: bench-warm
bench-warm: build-local ## CPU and requests of warm jobs, and 2 GiB inside the whole handler
	@$(BIN)/python -m tests.bench.warm $(ARGS)

.PHONY: bench-memory
bench-memory: build-local ## peak memory of the whole function in 128 MiB (ARGS="--large --memory-mib N --json PATH")
	@$(BIN)/python -m tests.bench.memory $(ARGS)

.PHONY: bench-catalogue
bench-catalogue: $(READY) ## requests, CPU and memory of `archiver audit` and what mends (N=365000)
	@PYTHONPATH=layers/archiver $(BIN)/python -m tests.bench.catalogue $(if $(N),--exports $(N))

.PHONY: bench-lock
bench-lock: $(READY) # refresh the lock of the benchmark's peers
	$(BIN)/uv pip compile --quiet --upgrade .ci/bench-requirements.in \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -o .ci/bench-requirements.txt

# --- build and deploy ---

# A build is due when a source changed, came or went. Names are kept in a file of their own, because a
# file that is gone is newer than nothing.
BUILD_SOURCES := template.yaml $(shell find layers functions -name __pycache__ -prune -o -type f -print | LC_ALL=C sort)
ARCHITECTURE ?= arm64

.PHONY: always
.aws-sam/sources: always
	@mkdir -p .aws-sam
	@echo '$(BUILD_SOURCES)' | cmp -s - $@ || echo '$(BUILD_SOURCES)' > $@

# SAM empties the build folder first, so a finished build of the other architecture is no longer there.
# Builds run one after the other: both write .aws-sam/build.toml.
.aws-sam/build/.finished-$(ARCHITECTURE): $(READY) $(BUILD_SOURCES) .aws-sam/sources
	PATH="$(CURDIR)/$(BIN):$$PATH" LAYER_PLATFORM=$(ARCHITECTURE) LAYER_PYTHON_VERSION=3.13 \
	  bash .ci/sam-offline build --build-dir .aws-sam/build --parameter-overrides Architecture=$(ARCHITECTURE)
	@bash .ci/write-bill $(VENV) .aws-sam/build .aws-sam/sbom-$(ARCHITECTURE).cdx.json
	@touch $@

# The same layout for this machine's interpreter and processor: what the local runtime loads.
.aws-sam/local/.finished: $(READY) $(BUILD_SOURCES) .aws-sam/sources
	@bash .ci/need-room . 200
	@PATH="$(CURDIR)/$(BIN):$$PATH" LAYER_PLATFORM=$$(uname -m) \
	  LAYER_PYTHON_VERSION=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
	  bash .ci/say build "functions and layers for this machine" \
	  bash .ci/sam-offline build --build-dir .aws-sam/local \
	  --parameter-overrides Architecture=$$(uname -m | sed s/aarch64/arm64/)
	@touch $@

.PHONY: build
build: .aws-sam/build/.finished-$(ARCHITECTURE) ## build for Lambda, with its bill of materials (ARCHITECTURE=arm64 or x86_64)

.PHONY: check-reproducible
check-reproducible: $(READY) ## build twice in two folders and compare every byte (ARCHITECTURE=arm64 or x86_64)
	@bash .ci/check-reproducible $(ARCHITECTURE)

.PHONY: build-local
build-local: emulator .aws-sam/local/.finished # for this machine's interpreter; demo, local and test need it

# Said before minutes are spent on what cannot run here.
.PHONY: emulator
emulator:
	@case "$$(uname -sm)" in "Linux x86_64" | "Linux aarch64" | "Linux arm64") ;; *) \
	  echo "The embedded cloud runs on Linux (x86_64 or arm64), for which AWS makes its Lambda emulator:" \
	    "use a virtual machine or a container, on Windows WSL." \
	    "make check, build and deploy work without." >&2; exit 1;; esac

# STAGE is a section of samconfig.toml. Nothing is deployed or deleted for want of naming one.
.PHONY: deploy
deploy: $(BIN)/archiver ## deploy a stage: STAGE=dev or prod [YES=1] [ARGS="--set NAME=VALUE"]
	@$(BIN)/archiver deploy "$(STAGE)" $(if $(YES),--yes) $(ARGS)

.PHONY: delete
delete: $(BIN)/archiver ## delete a stage's stack; bucket, table and credentials stay: STAGE=dev [CONFIRM=stack]
	@$(BIN)/archiver delete "$(STAGE)" $(if $(CONFIRM),--confirm "$(CONFIRM)")

.PHONY: demo-picture
demo-picture: build-local $(BIN)/archiver ## record docs/demo.svg from a real `make demo`
	@$(BIN)/python -m tests.pictures.demo

.PHONY: dashboard-picture
dashboard-picture: build-local ## draw docs/dashboard.svg from a local run of half a minute
	@$(BIN)/python -m tests.pictures.dashboard

.PHONY: check-pictures
check-pictures: $(READY) ## draw in the drawing venv, and hold docs/*.svg to what a page needs
	@$(BIN)/python -m tests.locked_venv .cache/pictures/venv .ci/pictures-requirements.txt
	@$(BIN)/python -m pytest tests/pictures

.PHONY: pictures-lock
pictures-lock: $(READY) # refresh the lock of what draws
	$(BIN)/uv pip compile --quiet --upgrade .ci/pictures-requirements.in \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -o .ci/pictures-requirements.txt

# What these did, `archiver` does (CHANGELOG): they say so for one release.
MOVED := verify status dashboard trace audit callback-url rotate-callback-token reconcile
.PHONY: $(MOVED)
$(MOVED):
	@echo "make $@ is now: $(BIN)/archiver $@ $(if $(filter verify status trace,$@),$(or $(JOB),JOB) )--stack $(or $(STACK),NAME)" >&2
	@exit 2

.PHONY: lock
lock: $(READY) ## refresh both lock files from pyproject.toml and layers/dependencies/requirements.in
	$(BIN)/uv pip compile --quiet --upgrade --group dev layers/dependencies/requirements.in \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -o .ci/requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade layers/dependencies/requirements.in -c .ci/requirements.txt \
	  --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -o layers/dependencies/requirements.txt
