# SPDX-License-Identifier: Apache-2.0
# The commands a person types; thin over meson, tools/ and .ci/run.
BUILD ?= build
prefix ?= /usr/local
DESTDIR ?=
PYTHON ?= /usr/bin/python3

.PHONY: all deps deps-test deps-bench demo test bench lint asan install clean

all:
	@tools/build "$(BUILD)"

# What building and the demo need, and what tests need beyond it, from Debian's packages.
deps:
	@tools/deps build demo

deps-test:
	@tools/deps build demo test

demo: deps
	@tools/build "$(BUILD)"
	@tools/demo "$(BUILD)"

test: deps-test
	@tools/build "$(BUILD)"
	@tools/run-tests "$(BUILD)"

deps-bench:
	@tools/deps build demo bench

# Ratios against other servers and sandboxes, on this machine; BENCH_OPTIONS=--write-docs renews docs/figures.md.
bench: deps-bench
	@$(MAKE) --no-print-directory all
	@bench/run $(BENCH_OPTIONS) $(BUILD)

lint: all
	@tools/lint $(BUILD)

asan: deps-test
	@tools/asan $(BUILD)-asan

install: all
	@tools/build "$(BUILD)" "$(prefix)"
	@DESTDIR="$(DESTDIR)" meson install -C "$(BUILD)" --no-rebuild --quiet

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz $(BUILD)-gcc $(BUILD)-clang
