.DEFAULT_GOAL := help
.PHONY: help run test test-on-servers test-browser test-black-box test-crates check lint docs reference schema test-openapi deny chaos model powercut dist test-dist bench clean compose-up serve down logs scale migrate outcomes records test-compose
SHELL := /bin/bash -o pipefail
COMPOSE := cd deployment && docker compose --profile tools

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the whole service in one process, on http://127.0.0.1:9000
	cargo run --release

test: ## Install what the tests need, check the style, and run every test on private servers
	tests/servers make test-on-servers

# Always with --workspace: a single package selects other features of the libraries, which builds them again. Tests mostly wait, so they
# run on more threads than there are processors. A browser keeps a processor busy: its cases go one by one, beside the others.
test-on-servers: lint
	@mkdir -p target
	cargo test --workspace --no-run
	$(MAKE) --jobs --output-sync=target test-browser test-black-box
	$(MAKE) test-crates
	cargo test --workspace --test black_box -- chaos:: --nocapture --test-threads=1
	@awk '/^test .*(embedded|sqlite|memory|local) \.\.\. ok/ { e++ } /^test .*(distributed|postgres|rabbitmq|redis) \.\.\. ok/ { d++ } \
		END { printf "cases on the embedded stack: %d, on the distributed stack: %d\n", e, d }' target/test-*.log

test-browser:
	cargo test --workspace --test black_box -- browser:: --test-threads=1 2>&1 | tee target/$@.log

test-black-box:
	RUST_TEST_THREADS=$$(($$(nproc) + 1)) cargo test --workspace --test black_box -- --skip browser:: --skip chaos::every_promise 2>&1 | tee target/$@.log

# All targets but the one above.
test-crates:
	RUST_TEST_THREADS=$$(($$(nproc) + 1)) cargo test --workspace --lib --bins $$(cargo metadata --no-deps --format-version 1 | python3 -c \
		'import json, sys; print(*sorted({"--test=" + target["name"] for package in json.load(sys.stdin)["packages"] \
		for target in package["targets"] if "test" in target["kind"]} - {"--test=black_box"}))') 2>&1 | tee target/$@.log
	cargo test --workspace --doc 2>&1 | tee --append target/$@.log

lint: ## Check the format, clippy's lints and the links in the documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps

check: ## Check the style and run every test that needs no server; up to two minutes once it is built
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo test --workspace --lib --bins --test blobs --test digests --test fuzz --test http --test life --test mutants --test promises --test spaces

docs: ## Build the book, with the documents of this folder, into target/docs/book (needs mdBook: cargo install --locked mdbook)
	@command -v mdbook >/dev/null || { echo 'docs: expected mdBook, found none; run: cargo install --locked mdbook' >&2; exit 2; }
	rm -rf target/docs && mkdir -p target/docs/src
	cp -r --parents *.md LICENSE docs benches/RESULTS.md target/docs/src
	sed 's#](#](docs/#; s#](docs/\.\./#](#' docs/SUMMARY.md >target/docs/src/SUMMARY.md
	rm target/docs/src/docs/SUMMARY.md
	mv target/docs/src/docs/book.toml target/docs
	@mdbook build target/docs 2>&1 | tee target/docs/log
	@! grep --quiet -E '(WARN|ERROR)' target/docs/log || { echo 'docs: mdBook printed warnings; see target/docs/log' >&2; exit 1; }

reference: ## Regenerate the lists of docs/reference/ from the program
	COATCHECK_WRITE_DOCS=1 cargo test --workspace --test black_box book::reference

schema: ## Check that diesel's schema matches the migrations
	tests/servers cargo test --workspace --test schema

test-openapi: ## Fuzz the API by its OpenAPI description: expects no 5xx and only described answers (downloads schemathesis)
	tests/openapi/fuzz

deny: ## Check the libraries' licences, sources and advisories (needs cargo-deny: cargo install --locked cargo-deny)
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
	tests/fuzz

model: ## Visit every state of the protocol's model, including its larger spaces (minutes)
	COATCHECK_MODEL=whole cargo test --release --package model -- --nocapture --test-threads=1

powercut: ## Cut the power 1,000 times on ext4, XFS and Btrfs, with disks that fail once and programs without a flush, into target/powercut; COATCHECK_CUTS=100 makes 100 cuts (needs root, FUSE and loop devices; most of an hour)
	cargo build --release --package coatcheck --package powercut
	tests/servers $${CARGO_TARGET_DIR:-target}/release/powercut run

dist: ## Build a .deb, a tarball, an SBOM and SHA256SUMS into target/packages (needs cargo-deb and cargo-cyclonedx: cargo install --locked cargo-deb cargo-cyclonedx)
	deployment/package/build

test-dist: ## Install, start, use, upgrade and purge the .deb of `make dist` in a bare Debian 12 (needs root and debootstrap)
	tests/package/run

bench: ## Measure on private servers (PostgreSQL has a quarter of the memory), into benches/RESULTS.md and docs/plots/; one part: make bench what=records (two hours)
	cargo build --profile dist --package coatcheck --package benches
	FSYNC=on SHARED_BUFFERS=$$(awk '/MemTotal/ { print int($$2 / 4) "kB" }' /proc/meminfo) \
		tests/servers $${CARGO_TARGET_DIR:-target}/dist/bench $(or $(what),all)

compose-up: ## Start the whole service in containers, on http://127.0.0.1:9000, and wait until it is healthy
	$(COMPOSE) build
	cd deployment && docker compose up --detach --wait

serve: compose-up ## The same as compose-up

down: ## Stop the containers and keep their data
	$(COMPOSE) down --remove-orphans

logs: ## Follow the containers' logs
	$(COMPOSE) logs --follow --tail=100

scale: ## Change the number of containers: make scale worker=4 api=2
	@[ -n "$(worker)$(api)" ] || { echo 'scale: expected a number of containers; run: make scale worker=4 api=2' >&2; exit 2; }
	$(COMPOSE) up --detach --wait --no-deps --no-recreate \
		$(if $(worker),--scale worker=$(worker) worker) $(if $(api),--scale api=$(api) api)

migrate: ## Migrate the containers' database to this version of the program
	$(COMPOSE) run --rm --build migrate

outcomes: ## Print the containers' outcome log, whether or not they run
	@$(COMPOSE) build --quiet tools >/dev/null
	@$(COMPOSE) run --rm --no-deps -T tools sh -c 'test ! -e logs/outcomes.log || cat logs/outcomes.log'

records: ## Print the access log's records that the containers have exported
	@$(COMPOSE) run --rm --no-deps -T tools sh -c 'test ! -e logs/access.log || cat logs/access.log'

test-compose: ## Kill every container under load, back up and restore (needs a running docker; minutes)
	tests/compose/run

clean: ## Remove all build results, and the containers with all their data
	cargo clean
	if docker info >/dev/null 2>&1; then $(COMPOSE) down --remove-orphans --volumes --rmi local; fi
