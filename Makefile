# Everything that is done with this repository. CI calls the same targets.
# A fresh machine needs Python 3.11 or later, make, and the package registries; `make demo` brings the rest.

PYTHON ?= python3
BIN := .venv/bin
PACKAGE := .venv/.package
PROGRAM := $(BIN)/missionlink
NEWEST := .cache/missionlink/.newest
RUNTIMES := .cache/missionlink/.all
# More than this machine has cores: half of the time the tests wait for runtimes.
JOBS ?= 3
PYTHONS ?= 3.12 3.13
ARGS ?=

# The tests use the runtimes that this repository names, not what the user has installed.
export MISSIONLINK_CACHE := $(CURDIR)/.cache/missionlink
# Without byte code every start is several times slower.
unexport PYTHONDONTWRITEBYTECODE

# More time than in CI by this factor; a soak draws the memory into .cache/soak.svg; SECONDS are for each fuzz target;
# SEQUENCES of random operations are for each kind of session and each runtime, KILLS of storage for each runtime.
HARDER ?= 10
SECONDS ?= 60
SEQUENCES ?= 20
KILLS ?= 200
WHAT ?= all
TORTURE_all = MISSIONLINK_TORTURE=$(HARDER) $(BIN)/pytest -q --timeout 0 tests/torture $(ARGS)
TORTURE_soak = mkdir -p .cache; MISSIONLINK_TORTURE=450 MISSIONLINK_SOAK_PLOT=.cache/soak.svg \
	$(BIN)/pytest -q --timeout 0 tests/torture/test_soak.py $(ARGS)
TORTURE_turns = for where in local cloud blocking; do for runtime in newest oldest; do \
	$(BIN)/python -m tests.torture.random_turns "$$($(PROGRAM) runtime path $$runtime)" --where $$where --seeds 1:$(SEQUENCES) || exit 1; \
	done; done
TORTURE_storage = for runtime in newest oldest; do \
	$(BIN)/python -m tests.e2e.storage_kills "$$($(PROGRAM) runtime path $$runtime)" --kills $(KILLS) || exit 1; done
TORTURE_fuzz = $(BIN)/python -c 'import atheris' 2>/dev/null || \
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/fuzz.txt; \
	for target in framing messages; do $(BIN)/python -m tests.torture.fuzz $$target -max_total_time=$(SECONDS) || exit 1; done

UNIT_CHECKS := $(addprefix tests/unit/test_,layers.py sizes.py exports.py import.py errors.py docs_shape.py repository.py)
# What differs between Pythons is the event loop, the types and the pickling; none of these needs a runtime.
CORE_TESTS := $(filter-out $(UNIT_CHECKS),$(wildcard tests/unit/test_*.py)) \
	$(addprefix tests/property/test_,calls.py framing.py history_merge.py inbox.py messages.py routes.py) \
	$(addprefix tests/integration/test_,answers.py blocking_ends.py cloud_creation.py connection.py dispatch.py \
	early_traffic.py event_loops.py handlers.py hooks.py streams.py tools_calls.py turns.py)
LOCK := $(BIN)/uv pip compile --quiet --no-config --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help demo test torture pythons check format generate schema lock runtimes bench clean
.DELETE_ON_ERROR:

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(NEWEST) ## Create a cloud session on a Mission Control on this machine, and talk to it
	@$(BIN)/python examples/demo.py $(ARGS)

test: $(RUNTIMES) ## Run all tests, on both real runtimes too (ARGS="tests/unit -k name" for some)
	@MISSIONLINK_TEST_RUNTIME_N="$$($(PROGRAM) runtime path newest)" \
	MISSIONLINK_TEST_RUNTIME_O="$$($(PROGRAM) runtime path oldest)" \
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal $(ARGS)

pythons: $(PACKAGE) ## Run the tests of the core on other Pythons of this machine (PYTHONS="3.11 3.12 3.13")
	@$(BIN)/python scripts/test_pythons.py $(PYTHONS) -- -n $(JOBS) $(CORE_TESTS)

torture: $(RUNTIMES) ## Hostile runtimes and bad days, harder than in CI (WHAT=all, soak for half an hour, fuzz, storage, turns)
	@$(TORTURE_$(WHAT))

check: $(PACKAGE) ## Check style, types, layers, sizes and generated code, in seconds
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python scripts/generate_protocol.py --check
	$(BIN)/pyright
	$(BIN)/mypy
	$(BIN)/pytest -q $(UNIT_CHECKS)

format: $(PACKAGE) ## Put the code into the house style
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

generate: $(PACKAGE) ## Write the typed protocol from schema/, and the pages and tables that are made of the code
	$(BIN)/python scripts/generate_protocol.py
	$(BIN)/python scripts/renew_api_reference.py
	$(BIN)/python scripts/renew_matrix.py

schema: $(RUNTIMES) ## Take schema/ anew from the tested runtimes
	$(BIN)/python scripts/reduce_schema.py $$($(BIN)/python scripts/find_schemas.py)

lock: $(PACKAGE) ## Pin all requirements anew, with hashes and without addresses
	$(LOCK) --upgrade requirements/build.in -o requirements/build.txt
	$(LOCK) --upgrade pyproject.toml requirements/dev.in --extra all -o requirements/dev.txt
	$(LOCK) --upgrade requirements/fuzz.in -o requirements/fuzz.txt
	$(LOCK) pyproject.toml requirements/test.in --extra cli --extra control --extra testing \
		--constraint requirements/dev.txt -o requirements/test.txt

runtimes: $(RUNTIMES) ## Install the tested runtimes into .cache
	@$(PROGRAM) runtime list

bench: $(NEWEST) ## Measure beside the official SDK (ARGS=--quick for two minutes)
	$(BIN)/python -m benchmarks --install-peer
	MISSIONLINK_RUNTIME="$$($(PROGRAM) runtime path newest)" $(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove the environment and all that was fetched or built
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# --require-hashes: what is installed is what was locked. The package itself is built by the locked back end, which
# looks for its program on PATH. Programs that this environment runs find the runtimes of this clone.
$(PACKAGE): requirements/dev.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("missionlink needs Python 3.11 or later; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/build.txt -r requirements/dev.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	@$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" >$@
	@echo "import os; os.environ.setdefault('MISSIONLINK_CACHE', '$(MISSIONLINK_CACHE)')" \
		>"$$(cat $@)/missionlink_of_this_clone.pth"

$(NEWEST): $(PACKAGE) src/missionlink/runtime/releases.py
	$(PROGRAM) runtime install
	@touch $@

$(RUNTIMES): $(PACKAGE) src/missionlink/runtime/releases.py
	$(PROGRAM) runtime install --all
	@touch $@
