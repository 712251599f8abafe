# Needs: Rust 1.90 or later and a C compiler (aws-lc). `make test` also builds SPIRE: Go 1.26.6 or later.
# Nothing is installed; everything lands in target/, .spire/ and .demo/.

CARGO ?= cargo
# Crash points for the tests: a build without debug assertions refuses the feature. And, where there is
# the solver cvc5, the prover of policy sets.
PROVER := $(if $(shell command -v cvc5),$() prove)
TEST_FEATURES ?= failpoints$(PROVER)
# The pure rules, optimised and with every assertion: the rest of the code is built as for the tests.
RULES = $(CARGO) --config 'profile.test.package.handfast.opt-level=3' \
	test --locked --features failpoints --test domain --

.DEFAULT_GOAL := help
.PHONY: build check clean demo figures fmt help long spire test

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1\t\2/p' Makefile | sort | expand -t 16

build: ## the library, the agent and the examples
	$(CARGO) build --locked --bins --examples

demo: build ## one task from end to end, with real processes and no SPIRE installed
	$(CARGO) run --locked --quiet --example demo

test: ## every suite; those with real SPIRE and with cvc5 say so in one line where there is none
	@spire-config/build-spire.sh >/dev/null || test "$$SPIRE" != required
	$(CARGO) test --locked --no-fail-fast --features "$(TEST_FEATURES)"

long: ## the rules alone, two to three hours: a million cases a property, all sequences of all commands up to six
	PROPTEST_CASES=1000000 PROPTEST_RNG_ALGORITHM=xs $(RULES) ::n0 ::n1
	ENUMERATION_LENGTH=6 $(RULES) sequence_of_all_commands --nocapture --test-threads=1

check: ## format, lints, the rules of the house, documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --features "$(TEST_FEATURES)" -- -D warnings
	$(CARGO) test --locked --quiet --features "$(TEST_FEATURES)" --test tidy
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --features "$(TEST_FEATURES)"

figures: ## measure a release build: one JSON object a line
	@spire-config/build-spire.sh >/dev/null || true
	$(CARGO) build --locked --release --bins --example figures
	$(CARGO) run --locked --release --quiet --example figures

spire: ## SPIRE server and agent into .spire/bin, or from SPIRE_BIN
	@spire-config/build-spire.sh >/dev/null

fmt: ## format the Rust code
	$(CARGO) fmt

clean: ## remove what was built, SPIRE included
	$(CARGO) clean
	rm -rf .spire .demo
