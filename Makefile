# Everything there is to do here. `make` alone lists it.
#
# Needs: Rust 1.88, Python 3.10, Node 20.19, or newer. Everything else goes into .venv/, node_modules/
# and target/. Python can be chosen: `make setup PYTHON=python3.13`.

SHELL := bash
.DEFAULT_GOAL := help
# One thing after the other, also under `make -j`: cargo, maturin and napi use all cores by themselves.
.NOTPARALLEL:
# A file whose rule failed half-way is not up to date.
.DELETE_ON_ERROR:

PYTHON ?= python3
FUZZ_SECONDS ?= 60
# More than there are cores: the tests wait for servers most of the time.
PYTEST_PROCESSES ?= 3

VENV := $(CURDIR)/.venv
PY := $(VENV)/bin/python

# Which Python PyO3 builds for, and where maturin installs.
export PYO3_PYTHON := $(PY)
export VIRTUAL_ENV := $(VENV)
unexport CONDA_PREFIX

# Files that say "done since": see the rules that write them.
PYTHON_READY := $(VENV)/.ready
NODE_READY := node_modules/.ready
PYTHON_BUILT := target/.python-built
NODE_BUILT := target/.node-built

# What a build depends on. Folders are in the list, too: theirs is the time of the last deletion.
WORKSPACE := Cargo.toml $(wildcard Cargo.lock)
CORE := core/Cargo.toml $(shell find core/src)
PYTHON_CRATE := bindings-python/Cargo.toml $(shell find bindings-python/src)
NODE_CRATE := bindings-node/Cargo.toml bindings-node/build.rs $(shell find bindings-node/src)

# Crates that are no members of the workspace.
OTHER_CRATES := $(wildcard bench/rust/Cargo.toml core/fuzz/Cargo.toml)

##@ Start here

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: build ## Run the demo: a FastAPI and an Express server, side by side; Ctrl-C ends it
	$(PY) examples/demo/run.py

.PHONY: setup
setup: $(PYTHON_READY) $(NODE_READY) ## Install what is needed into .venv/ and node_modules/

.PHONY: build
build: $(PYTHON_BUILT) $(NODE_BUILT) ## Build both bindings, optimised, for use from this folder

##@ Test

SUITES := rust python node browser interop types

.PHONY: test
test: build system-deps ## Run all suites below but the slow one, then sum up
	@passed=""; failed=""; \
	for suite in $(SUITES); do \
	  printf '\n===== %s\n\n' "$$suite"; \
	  if $(MAKE) --no-print-directory "test-$$suite"; \
	    then passed="$$passed $$suite"; else failed="$$failed $$suite"; fi; \
	done; \
	printf '\n===== summary\n\n  passed:%s\n  failed:%s\n' "$${passed:- none}" "$${failed:- none}"; \
	test -z "$$failed"

.PHONY: test-rust
test-rust: ## Core: unit, integration and documentation tests
	cargo test --features cli

.PHONY: test-python
test-python: $(PYTHON_BUILT) ## Python: tests/python and the examples in docstrings
	$(PY) -m pytest -n $(PYTEST_PROCESSES) --dist loadfile

.PHONY: test-node
test-node: $(NODE_BUILT) ## Node: tests/node
	npm test

# The hand-off relies on what Node keeps private, so the suite is run with each line that is supported.
NODE_VERSIONS ?= 22 24

.PHONY: test-node-versions
test-node-versions: $(NODE_BUILT) ## Node: tests/node with other versions of Node; NODE_VERSIONS (22 24)
	@for version in $(NODE_VERSIONS); do \
	  printf '\n===== Node %s\n\n' "$$version"; \
	  npx --yes --package "node@$$version" -c "npm test" || exit 1; \
	done

.PHONY: test-browser
test-browser: build system-deps ## Headless Chromium against real servers: tests/browser
	$(PY) -m pytest tests/browser

.PHONY: test-interop
test-interop: build ## Each client against each server: tests/interop
	$(PY) -m pytest tests/interop

.PHONY: test-types
test-types: build ## Types: mypy --strict, stubtest, tsc --strict
	$(PY) -m mypy
	$(PY) -m mypy.stubtest --mypy-config-file pyproject.toml ssehub._ssehub
	npm run types

.PHONY: test-slow
test-slow: build system-deps ## Tests marked slow: soaks, thousands of connections
	$(PY) -m pytest -m slow tests/python tests/browser

# CHAOS_SECONDS, CHAOS_SERVERS, CHAOS_CLIENTS, CHAOS_SEED: see tests/chaos/run.py.
.PHONY: chaos
chaos: export PYTHONPATH := tests/chaos:tests/python
chaos: build ## Servers and clients that fail in every way, and an oracle for each client; CHAOS_SECONDS (600)
	$(PY) -m pytest -q tests/chaos/test_oracle.py
	$(PY) tests/chaos/run.py

.PHONY: system-deps
system-deps:
	@scripts/system-deps.sh

##@ Look closer

.PHONY: lint
lint: clippy test-types ## All linters: Rust, Python, JavaScript, and the types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	npm run lint

# In a target folder of its own: clippy and maturin would otherwise rebuild PyO3 at every change
# from one to the other.
.PHONY: clippy
clippy: export CARGO_TARGET_DIR := target/lint
clippy: $(PYTHON_READY) ## The Rust part of lint
	cargo fmt --all --check
	@for crate in $(OTHER_CRATES); do cargo fmt --manifest-path "$$crate" --check || exit 1; done
	cargo clippy --features cli --all-targets -- -D warnings
	# Bindings have no Rust tests, and as tests they would look unused.
	cargo clippy -p ssehub-python -p ssehub-node -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps
	# The sans-I/O part stands alone.
	cargo check -p ssehub --no-default-features
	cargo clippy -p ssehub --no-default-features --lib -- -D warnings

# TARGETS, TARGET_FLAGS, and what is missing: see the script.
.PHONY: check-targets
check-targets: export CARGO_TARGET_DIR := target/lint
check-targets: $(PYTHON_READY) ## Compile for macOS and Windows, without linking or running; TARGETS, TARGET_FLAGS
	@TARGETS="$(TARGETS)" TARGET_FLAGS="$(TARGET_FLAGS)" scripts/check-targets.sh

.PHONY: fmt
fmt: $(PYTHON_READY) $(NODE_READY) ## Format Rust and Python; fix what linters can fix
	cargo fmt --all
	@for crate in $(OTHER_CRATES); do cargo fmt --manifest-path "$$crate" || exit 1; done
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	npm run lint -- --fix

.PHONY: bench
bench: build ## Measure against other libraries (installs them); prints ratios
	$(PY) bench/run.py

.PHONY: bench-scale
bench-scale: build ## Measure 50,000 clients, or as many as `ulimit -Hn` allows, each with a topic of its own
	$(PY) bench/run.py --only scale

# `unsafe` stands where descriptors and signals are handled. The variable lets the stable compiler use its sanitizers.
.PHONY: sanitize
sanitize: export RUSTC_BOOTSTRAP := 1
sanitize: export RUSTFLAGS := -Zsanitizer=address
sanitize: export CARGO_TARGET_DIR := target/sanitize
sanitize: ## The engine's tests under AddressSanitizer
	cargo test -p ssehub --no-default-features --features hub --lib --test engine --test engine-process \
	  --target "$$(rustc -vV | sed -n 's/^host: //p')"

# Without the address sanitizer, cargo-fuzz does not need a nightly compiler; what is fuzzed has no unsafe code.
.PHONY: fuzz
fuzz: target/tools/bin/cargo-fuzz ## Fuzz each target for FUZZ_SECONDS (60)
	@for name in $$($< fuzz list --fuzz-dir core/fuzz); do \
	  printf '\n===== %s\n\n' "$$name"; \
	  $< fuzz run --fuzz-dir core/fuzz --sanitizer none "$$name" -- \
	    -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 || exit 1; \
	done

target/tools/bin/cargo-fuzz:
	cargo install --quiet --locked --root target/tools cargo-fuzz

.PHONY: clean
clean: ## Delete what was built; keep what was installed
	rm -rf target core/fuzz/target bench/rust/target dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f bindings-python/python/ssehub/*.so bindings-node/*.node
	rm -f bindings-node/native.cjs bindings-node/native.d.cts

.PHONY: clean-all
clean-all: clean ## Delete what was installed, too
	rm -rf .venv node_modules

# ---------------------------------------------------------------------------------------------------

$(PYTHON_READY): pyproject.toml
	@PYTHON=$(PYTHON) scripts/check-tools.sh
	@echo "== Python: .venv"
	$(PYTHON) -m venv $(VENV)
	@echo "== Python: a pip that knows dependency groups"
	$(PY) -m pip install --quiet --upgrade "pip>=25.1"
	@echo "== Python: tools and test servers (dependency group dev in pyproject.toml)"
	$(PY) -m pip install --quiet --group dev
	@touch $@

$(NODE_READY): package.json package-lock.json
	@PYTHON=$(PYTHON) scripts/check-tools.sh
	@echo "== Node: packages"
	npm install --no-audit --no-fund
	@touch $@

$(PYTHON_BUILT): $(PYTHON_READY) $(WORKSPACE) $(CORE) $(PYTHON_CRATE)
	@echo "== Python: building the extension"
	PIP_QUIET=1 $(VENV)/bin/maturin develop --release
	@mkdir -p target && touch $@

$(NODE_BUILT): $(NODE_READY) $(WORKSPACE) $(CORE) $(NODE_CRATE)
	@echo "== Node: building the addon"
	npm run build
	@mkdir -p target && touch $@
