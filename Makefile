# Two commands are all that a newcomer needs: `make up` and `make test`. Each sets up what it needs; stamps in .venv/ make it cheap.
PYTHON ?= python3
PROFILE ?= dev
ROUNDS ?= 100
MINUTES ?= 10
WORKERS ?= 2
SEED ?= 1
SECONDS ?= 60
TAG ?= dev
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PROTOS := $(wildcard proto/aidb/v1/*.proto)
RUST := Cargo.toml Cargo.lock $(PROTOS) $(shell find node -name '*.rs' -not -path '*/target/*') $(shell find node -name Cargo.toml)

.PHONY: help setup up down docs test test-rust test-python test-interleavings evidence-engine fuzz lint fmt gen helm grpcurl prometheus manifests constraints bench-engine autoscaler-pictures bench-engine-python bench-placement bench-scaling bench-restore bench-cost bench-cluster-build bench-cluster bench-latency bench-overload soak images e2e clean
help: ## this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

setup: $(STAMPS)/native ## environment, third-party packages, native module

up: setup ## start the local cluster (data in .aidb) and return when it is ready
	@$(BIN)/aidb up --detach

down: ## stop the local cluster
	@test ! -x $(BIN)/aidb || $(BIN)/aidb down

test: test-rust test-python ## every test

test-rust:
	cargo test --workspace --locked

test-python: setup helm grpcurl prometheus ## the Python tests, in two processes: most of them wait (WORKERS=: one after the other)
	$(BIN)/python -m pytest $(if $(WORKERS),-n $(WORKERS))

lint: setup ## format, lint, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p aidb-node --features python --locked -- -D warnings

docs: $(STAMPS)/packages ## the documents as a site, in target/site (every link and anchor is checked)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo target/site/index.html

fmt: $(STAMPS)/packages ## format everything
	$(BIN)/ruff check --fix -q . || true
	$(BIN)/ruff format -q .
	cargo fmt --all

gen: $(STAMPS)/packages ## generated Python code of the contracts; CRDs; roles and manifests; docs/reference
	$(BIN)/python tools/generate_protobuf.py aidb/v1
	$(BIN)/python tools/generate_crds.py
	$(BIN)/python tools/generate_metrics.py
	$(BIN)/python tools/generate_dashboards.py
	$(BIN)/python tools/generate_chart.py
	$(BIN)/python -m tools.generate_reference

helm: ## build Helm below target/tools, unless there is one (needs Go; without either the chart is not tested)
	@$(PYTHON) -m tools.helm install

grpcurl: ## build grpcurl below target/tools, unless there is one (needs Go; without either the README's block of it is not run)
	@$(PYTHON) -m tools.grpcurl || echo 'grpcurl could not be built: the README block that calls it is not run' >&2

prometheus: ## fetch Prometheus and promtool below target/tools, unless there are (Debian's; without them, tests of alerts and dashboards are skipped)
	@$(PYTHON) tools/prometheus.py install

manifests: $(STAMPS)/packages helm ## the chart's roles, and manifests/, which are the chart rendered
	$(BIN)/python tools/generate_chart.py

constraints: $(STAMPS)/packages ## pin the newest third-party versions that pyproject.toml allows, with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --extra dev pyproject.toml -o constraints.txt

evidence-%: setup ## a long evidence run: make evidence-restart ROUNDS=100 SEED=1
	$(BIN)/python -m tests.evidence.$* --rounds $(ROUNDS) --seed $(SEED)

# Rounds are clusters.
evidence-clusters: ROUNDS = 50

# A round is a whole way from one shard to ten and back: minutes.
evidence-elastic: ROUNDS = 1

# Rounds are applies of an unchanged spec.
evidence-idle: ROUNDS = 50

# The engine alone: no native module is needed.
evidence-engine: $(STAMPS)/packages
	$(BIN)/python -m tests.evidence.engine --rounds $(ROUNDS) --seed $(SEED)

# What a newcomer types, in a fresh clone: nothing is needed from this one (COLD=1: empty caches of pip and cargo).
evidence-quickstart: ROUNDS = 1
evidence-quickstart:
	$(PYTHON) -m tests.evidence.quickstart --rounds $(ROUNDS) --seed $(SEED) $(if $(COLD),--cold)

# Fixtures of pytest start the API server.
evidence-kubernetes-restores: setup
	$(BIN)/python -m pytest -q -s tests/evidence/kubernetes_restores.py

evidence-kubernetes-lifecycle: setup
	$(BIN)/python -m pytest -q -s tests/evidence/kubernetes_lifecycle.py

test-interleavings: ## readers and the writer of a memtable in the orders that a seed says
	cargo test -p aidb-lsm --locked --features shuttle --lib interleavings

fuzz: $(STAMPS)/packages ## every decoder, SECONDS of CPU time each (needs a nightly compiler and cargo-fuzz)
	$(BIN)/python tools/fuzz.py --seconds $(SECONDS) --seed $(SEED)

# RocksDB comes prebuilt where Maven is, else its C++ is compiled once, in half an hour; its bindings need libclang.
# FULL=1: ten times the data, and large values, too.
BENCH_VALUES := 100,1000
BENCH_FULL := --scale 10 --values $(BENCH_VALUES),16000
ROCKSDB := $(abspath target/rocksdb)
BENCH_ENGINE := $(if $(shell command -v mvn),ROCKSDB_LIB_DIR=$(ROCKSDB) LD_LIBRARY_PATH=$(ROCKSDB))
$(ROCKSDB)/librocksdb.so:
	$(PYTHON) tools/prebuilt_rocksdb.py $(ROCKSDB)

bench-engine: $(if $(BENCH_ENGINE),$(ROCKSDB)/librocksdb.so) ## the engine against RocksDB and fjall; keeps the table in docs/performance/engine.md
	@ls /usr/lib/llvm-*/lib/libclang.so* >/dev/null 2>&1 || apt-get install -y --no-install-recommends libclang-dev clang g++
	$(BENCH_ENGINE) cargo build --release --locked --manifest-path benchmarks/engine/Cargo.toml --target-dir target/benchmarks
	$(BENCH_ENGINE) target/benchmarks/release/bench-engine --dir target $(if $(FULL),$(BENCH_FULL),--values $(BENCH_VALUES)) --page docs/performance/engine.md

bench-restore: setup ## how fast a shard comes back from an object store (PROFILE=release; S3=1: a real S3 server)
	$(BIN)/python -m benchmarks.restore --seed $(SEED) $(if $(S3),--s3)

bench-cost: ## what a shard stores, sends and asks for beside three copies; keeps the table in docs/performance/cost.md
	$(MAKE) setup PROFILE=release
	$(BIN)/aidb bench cost --seed $(SEED) --page docs/performance/cost.md

bench-backup: bench-cluster-build ## what a backup costs the requests that are served meanwhile
	$(BIN)/python -m benchmarks.backup --seed $(SEED)

bench-scaling: ## what a shard costs beside others, and idle; how fast clients learn of 1,000; keeps docs/performance/scaling.md
	$(MAKE) setup PROFILE=release
	$(BIN)/python -m benchmarks.scaling --seed $(SEED) --page docs/performance/scaling.md

bench-placement: $(STAMPS)/packages ## plans for 1,000 shards and the topology after them; keeps the table in docs/architecture/scaling.md
	$(BIN)/python -m benchmarks.placement --seed $(SEED) --page docs/architecture/scaling.md

autoscaler-pictures: $(STAMPS)/packages ## the autoscaler on the committed traces of load, drawn for docs/architecture/autoscaler.md
	$(BIN)/python -m benchmarks.autoscaler --to docs/architecture/autoscaler

bench-engine-python: setup ## the embedded engine against RocksDB, both from Python (PROFILE=release)
	$(BIN)/python -m pip install --quiet --no-build-isolation -e '.[bench]'
	$(BIN)/aidb bench engine --dir target

# Servers are measured as they are shipped: the module has to be built with PROFILE=release.
BENCH_CLUSTER := target/benchmarks/release/bench-cluster
bench-cluster-build:
	$(MAKE) setup PROFILE=release
	cargo build --release --locked --manifest-path benchmarks/cluster/Cargo.toml --target-dir target/benchmarks

bench-cluster: bench-cluster-build ## servers against a bare echo, Redis and etcd; keeps the tables in docs/performance/cluster.md
	@command -v redis-server etcd >/dev/null || apt-get install -y --no-install-recommends redis-server etcd-server
	$(BENCH_CLUSTER) ratios --page docs/performance/cluster.md

bench-latency: bench-cluster-build ## three runs at half load, MINUTES each: sync interval, group, and with a disk hog
	$(BENCH_CLUSTER) latency --minutes $(MINUTES) --page docs/performance/cluster.md

bench-overload: bench-cluster-build ## three times as much as the server can
	$(BENCH_CLUSTER) overload --page docs/performance/cluster.md

soak: bench-cluster-build ## memory and descriptors under a modest load: make soak MINUTES=60
	$(BENCH_CLUSTER) soak --minutes $(MINUTES) --page docs/performance/cluster.md

images: $(STAMPS)/packages ## aidb-node and aidb-operator, with docker, buildah, podman, or IMAGE_BUILD=command (TAG=dev)
	$(BIN)/python tools/images.py --tag $(TAG)

e2e: $(STAMPS)/packages ## scenarios on a real Kubernetes (e2e/README.md): make e2e ONLY=smoke
	$(BIN)/python -m pytest e2e -p no:cacheprovider --timeout 3600 --durations 0 $(if $(ONLY),-k $(ONLY))

clean: down ## remove what was built (the data in .aidb stays)
	rm -rf $(VENV) target

$(STAMPS)/venv:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "AiDb needs Python >= 3.11; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/packages: $(STAMPS)/venv constraints.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# An extension of another profile is another build: the stamp carries the profile's name.
$(STAMPS)/native: $(STAMPS)/native-$(PROFILE)
	@touch $@

$(STAMPS)/native-$(PROFILE): $(STAMPS)/packages node/pyproject.toml $(RUST)
	@command -v cargo >/dev/null || { echo 'AiDb needs a Rust toolchain (cargo) on the PATH' >&2; exit 1; }
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --quiet --locked --manifest-path node/Cargo.toml --profile $(PROFILE)
	@rm -f $(STAMPS)/native-* && touch $@
