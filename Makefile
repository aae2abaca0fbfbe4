.DEFAULT_GOAL := help
.PHONY: help run test lint chaos clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the whole service in one process, on http://127.0.0.1:9000
	cargo run --release

test: ## Install what the tests need, check the style, run every test
	tests/packages
	$(MAKE) lint
	cargo test --workspace

lint: ## Check the format and clippy's advice
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings

chaos: ## Kill the program under load 200 times (minutes)
	COATCHECK_KILLS=200 cargo test --release --package coatcheck --test black_box -- crash --nocapture

clean: ## Remove what was built
	cargo clean
