.DEFAULT_GOAL := help
.PHONY: help run test test-on-servers check lint docs reference schema test-openapi deny chaos model powercut bench clean compose-up serve down logs scale migrate outcomes records test-compose
SHELL := /bin/bash -o pipefail
COMPOSE := cd deployment && docker compose --profile tools

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the whole service in one process, on http://127.0.0.1:9000
	cargo run --release

test: ## Install what the tests need, check the style, run every test on private servers
	tests/servers make test-on-servers

# All with --workspace: a package alone has other features of the libraries, and builds them again. Cases wait more than they work.
test-on-servers: lint
	@mkdir -p target
	RUST_TEST_THREADS=$$(($$(nproc) + 1)) cargo test --workspace -- --skip chaos::every_promise 2>&1 | tee target/test.log
	cargo test --workspace --test black_box -- chaos:: --nocapture --test-threads=1
	@awk '/^test .*(embedded|sqlite|memory|local) \.\.\. ok/ { e++ } /^test .*(distributed|postgres|rabbitmq|redis) \.\.\. ok/ { d++ } \
		END { printf "cases on the embedded stack: %d, on the distributed stack: %d\n", e, d }' target/test.log

lint: ## Check the format, clippy's advice and the documentation's links
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps

check: ## Check the style and run every test that needs no server: two minutes at most, once it is built
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo test --workspace --lib --bins --test blobs --test digests --test fuzz --test http --test life --test mutants --test promises --test spaces

docs: ## Build the book, with the documents of this folder, into target/docs/book (needs mdBook: cargo install --locked mdbook)
	@command -v mdbook >/dev/null || { echo 'mdBook is missing: cargo install --locked mdbook' >&2; exit 2; }
	rm -rf target/docs && mkdir -p target/docs/src
	cp -r --parents *.md LICENSE docs benches/RESULTS.md target/docs/src
	sed 's#](#](docs/#; s#](docs/\.\./#](#' docs/SUMMARY.md >target/docs/src/SUMMARY.md
	rm target/docs/src/docs/SUMMARY.md
	mv target/docs/src/docs/book.toml target/docs
	@mdbook build target/docs 2>&1 | tee target/docs/log
	@! grep --quiet -E '(WARN|ERROR)' target/docs/log || { echo 'mdBook has warned' >&2; exit 1; }

reference: ## Write the lists of docs/reference/ anew, as the program says them
	COATCHECK_WRITE_DOCS=1 cargo test --workspace --test black_box book::reference

schema: ## Check that diesel's schema is what the migrations make
	tests/servers cargo test --workspace --test schema

test-openapi: ## Try the API as its description tells it: no 5xx, no answer that isn't described (downloads schemathesis)
	tests/openapi/fuzz

deny: ## Look at the libraries' licences, sources and advisories (needs cargo-deny: cargo install --locked cargo-deny)
	cargo deny check

chaos: model ## Ten minutes of all faults at once on each stack; 200 kills under load, 60 of exporters; 5,000 messages; a backlog of 1,000,000; every pair of cuts; fuzzing (hours)
	COATCHECK_CHAOS_SECONDS=$${COATCHECK_CHAOS_SECONDS:-600} \
		tests/servers cargo test --release --workspace --test black_box -- chaos:: --nocapture --test-threads=1
	COATCHECK_KILLS=200 COATCHECK_EXPORT_KILLS=60 COATCHECK_MESSAGES=5000 COATCHECK_BACKLOG=1000000 \
		tests/servers cargo test --release --workspace --test black_box -- \
		crash exporters optimum backlog --nocapture --test-threads=1
	COATCHECK_BOUNDS_SECONDS=$${COATCHECK_BOUNDS_SECONDS:-3600} \
		tests/servers cargo test --release --workspace --test black_box -- bounds:: --nocapture --test-threads=1
	COATCHECK_ALL_PAIRS=1 tests/servers cargo test --release --workspace --test cuts -- second_cut --nocapture
	export COATCHECK_FUZZ_SECONDS=$${COATCHECK_FUZZ_SECONDS:-60}; \
		cargo test --release --workspace --test fuzz -- --nocapture && \
		cargo test --release --package api --package coatcheck --lib --bins -- fuzz:: --nocapture

model: ## Look at every state of the protocol's model, its larger spaces included (minutes)
	COATCHECK_MODEL=whole cargo test --release --package model -- --nocapture --test-threads=1

powercut: ## Cut the power 1,000 times on ext4, XFS and Btrfs, with disks that fail once and programs without a flush, into target/powercut; COATCHECK_CUTS=100 cuts less (needs root, FUSE and loop devices; most of an hour)
	cargo build --release --package coatcheck --package powercut
	tests/servers $${CARGO_TARGET_DIR:-target}/release/powercut run

bench: ## Measure on private servers (PostgreSQL has a quarter of the memory), into benches/RESULTS.md and docs/plots/; a part alone: make bench what=records (two hours)
	cargo build --release --package coatcheck --package benches
	FSYNC=on SHARED_BUFFERS=$$(awk '/MemTotal/ { print int($$2 / 4) "kB" }' /proc/meminfo) \
		tests/servers $${CARGO_TARGET_DIR:-target}/release/bench $(or $(what),all)

compose-up: ## Start the whole service in containers, on http://127.0.0.1:9000, and wait until it is healthy
	$(COMPOSE) build
	cd deployment && docker compose up --detach --wait

serve: compose-up ## The same

down: ## Stop the containers; what they keep is kept
	$(COMPOSE) down --remove-orphans

logs: ## Follow the containers' logs
	$(COMPOSE) logs --follow --tail=100

scale: ## Change the number of containers: make scale worker=4 api=2
	@[ -n "$(worker)$(api)" ] || { echo 'say how many: make scale worker=4 api=2' >&2; exit 2; }
	$(COMPOSE) up --detach --wait --no-deps --no-recreate \
		$(if $(worker),--scale worker=$(worker) worker) $(if $(api),--scale api=$(api) api)

migrate: ## Bring the containers' database up to date, with the program as it is now
	$(COMPOSE) run --rm --build migrate

outcomes: ## Print the containers' outcome log, whether or not they run
	@$(COMPOSE) build --quiet tools >/dev/null
	@$(COMPOSE) run --rm --no-deps -T tools sh -c 'test ! -e logs/outcomes.log || cat logs/outcomes.log'

records: ## Print the access log's records as the containers have exported them
	@$(COMPOSE) run --rm --no-deps -T tools sh -c 'test ! -e logs/access.log || cat logs/access.log'

test-compose: ## Kill every container under load, back up and restore (needs a running docker; minutes)
	tests/compose/run

clean: ## Remove what was built, and the containers with all that they keep
	cargo clean
	if docker info >/dev/null 2>&1; then $(COMPOSE) down --remove-orphans --volumes --rmi local; fi
