# The few verbs. Each installs what it is missing (scripts/setup says what) and needs nothing but Rust, a C compiler,
# make and apt to begin with.

CARGO ?= cargo
OUT   ?= brownout-out
# For how long `make fuzz` tries each target.
FUZZ_SECONDS ?= 60
# Servers from apt lie where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help demo test lint bench fuzz

help:
	@echo "make demo    degrade a small shop, watch it recover, write a report to $(OUT)"
	@echo "make test    every test, also those that need real servers"
	@echo "make lint    formatting and clippy"
	@echo "make bench   how fast it is, side by side with others"
	@echo "make fuzz    any bytes at the parsers, FUZZ_SECONDS=60 for each target"

demo:
	@scripts/setup build
	$(CARGO) build --release --locked
	target/release/brownout demo --out $(OUT)

# Without the feature "real" the same command is hermetic: no server, no network beyond loopback.
test:
	@scripts/setup test
	$(CARGO) test --locked --features real

lint:
	@scripts/setup lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings

bench:
	@scripts/setup bench
	$(CARGO) build --release --locked
	$(CARGO) bench --locked --bench '*'
	@for script in benches/*.sh; do echo "$$script"; "$$script" || exit; done

# cargo-fuzz wants a nightly compiler for its flags; the variable lets the stable one take them. New inputs stay in
# fuzz/corpus/*/.found; what is worth keeping is moved one folder up by hand, and replayed by `make test`.
fuzz:
	@scripts/setup fuzz
	@cd fuzz && for target in targets/*.rs; do \
		name=$$(basename $$target .rs); mkdir -p corpus/$$name/.found; echo "$$name"; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir . --sanitizer none $$name corpus/$$name/.found corpus/$$name -- \
			-max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=25 -print_final_stats=1 || exit; \
	done
