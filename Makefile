.DEFAULT_GOAL := help
.PHONY: help run test test-on-servers lint chaos clean
SHELL := /bin/bash -o pipefail

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the whole service in one process, on http://127.0.0.1:9000
	cargo run --release

test: ## Install what the tests need, check the style, run every test on private servers
	tests/servers make test-on-servers

test-on-servers: lint
	@mkdir -p target
	cargo test --workspace 2>&1 | tee target/test.log
	@awk '/^test .*(embedded|sqlite|memory|local) \.\.\. ok/ { e++ } /^test .*(distributed|postgres|rabbitmq|redis) \.\.\. ok/ { d++ } \
		END { printf "cases on the embedded stack: %d, on the distributed stack: %d\n", e, d }' target/test.log

lint: ## Check the format and clippy's advice
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings

chaos: ## Kill the service under load 200 times, exporters 60 times, on each stack (minutes)
	COATCHECK_KILLS=200 COATCHECK_EXPORT_KILLS=60 \
		tests/servers cargo test --release --package coatcheck --test black_box -- crash exporters --nocapture

clean: ## Remove what was built
	cargo clean
