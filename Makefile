# The few verbs. Each installs what it is missing (scripts/setup says what) and needs nothing but Rust, a C compiler,
# make and apt to begin with.

CARGO ?= cargo
OUT   ?= brownout-out
# Servers from apt lie where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help demo test lint bench

help:
	@echo "make demo    degrade a small shop, watch it recover, write a report to $(OUT)"
	@echo "make test    every test, also those that need real servers"
	@echo "make lint    formatting and clippy"
	@echo "make bench   how fast it is, side by side with others"

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
