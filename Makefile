# Everything a user or a developer does with this project, by name: `make` prints the list.
# The work itself is done by cargo and by the small scripts named below.

MODULE   = target/release/libmod_wsgi_rs.so
DESTDIR ?=
export DESTDIR
# Where tests and benchmark keep their virtual environments, a folder for each user; and the module that is tested.
export TEST_CACHE ?= /var/tmp/mod_wsgi_rs-tests$(shell id -u | sed 's/^0$$//; s/^[1-9]/-&/')
export MODULE_SO  ?= $(CURDIR)/$(MODULE)
# The kinds of Apache that the live tests run under.
MPMS ?= event worker prefork
# Apache's programs are in /usr/sbin, rustup's in ~/.cargo/bin: neither is on every PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

.PHONY: help setup build demo test quick check live compat real bench faults soak hostile install uninstall clean

help:
	@echo 'make build       the release module, $(MODULE)'
	@echo 'make demo        three Django sites, each on a Python of its own, under a private Apache; Ctrl-C ends it'
	@echo '                 (DEMO_ONCE=1: check them and exit)'
	@echo 'make test        format, lints, unit tests, documentation, crates (cargo-deny), then the live tests against a real Apache'
	@echo 'make quick       the same in a few minutes, while working: one kind of Apache, fewer Pythons, and not what mostly waits'
	@echo 'make compat      the same requests to mod_wsgi 6.1.1 and to this module: what differs is in docs/differences.md'
	@echo 'make real        applications from PyPI (Keystone, Mailman, Review Board …), installed and served (REAL_ONLY=name)'
	@echo 'make bench       requests/s and CPU per request beside mod_wsgi and a C handler (BENCH_ROUNDS, BENCH_SECONDS)'
	@echo 'make faults      what clients notice of restarts, deploys and dying processes, beside mod_wsgi (FAULT_SECONDS, FAULT_ONLY)'
	@echo 'make hostile     half an hour of attacks from sites, peers and clients (HOSTILE_SECONDS, HOSTILE_SEED)'
	@echo 'make soak        ten minutes of load with a random fault every two seconds (SOAK_SECONDS, SOAK_SEED)'
	@echo 'make install     puts the module where Apache looks for modules (DESTDIR is respected)'
	@echo 'make uninstall   takes it away again'
	@echo 'make setup       installs what building and testing need; the others do this themselves'
	@echo 'make clean       removes target/'

setup:
	@sh tests/setup.sh build

build:
	cargo build --release $(CARGO_FLAGS)

demo: setup
	$(MAKE) --no-print-directory build
	@python3 tests/demo/demo.py

test:
	@sh tests/setup.sh build test
	$(MAKE) --no-print-directory check
	$(MAKE) --no-print-directory live

quick:
	@sh tests/setup.sh build test
	$(MAKE) --no-print-directory check
	QUICK=1 $(MAKE) --no-print-directory live MPMS=event PYTEST_FLAGS='$(PYTEST_FLAGS) -m "not waits"'

# What needs no Apache.
check:
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	cargo test $(CARGO_FLAGS)
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_FLAGS) --no-deps --document-private-items
	@sh tests/deny.sh

# What is installed, against a real Apache.
live: build
	@sh tests/venv.sh
	cargo build $(CARGO_FLAGS) --features fault-injection --target-dir target/fault-injection
	for mpm in $(MPMS); do \
	    MPM=$$mpm $(TEST_CACHE)/venv/bin/python -m pytest $(PYTEST_FLAGS) tests/live || exit 1; \
	done
	$(TEST_CACHE)/venv/bin/python -m pytest $(PYTEST_FLAGS) tests/packaging

# REPORT=file keeps all differences, one a line.
compat:
	@sh tests/setup.sh build
	$(MAKE) --no-print-directory build
	@sh tests/venv.sh
	$(TEST_CACHE)/venv/bin/python -m pytest -s -p no:cacheprovider $(PYTEST_FLAGS) tests/compat

# Installs about 3 GB into TEST_CACHE the first time.
real:
	@sh tests/setup.sh build real
	$(MAKE) --no-print-directory build
	@sh tests/venv.sh
	$(TEST_CACHE)/venv/bin/python -m pytest -p no:cacheprovider $(PYTEST_FLAGS) -k '$(REAL_ONLY)' tests/real

bench:
	@sh tests/setup.sh build bench
	$(MAKE) --no-print-directory build
	@python3 tests/bench/bench.py

faults:
	@sh tests/setup.sh build
	$(MAKE) --no-print-directory build
	@sh tests/venv.sh
	@$(TEST_CACHE)/venv/bin/python tests/bench/faults.py

soak:
	@sh tests/setup.sh build
	$(MAKE) --no-print-directory build
	@sh tests/venv.sh
	@$(TEST_CACHE)/venv/bin/python tests/soak/soak.py

hostile:
	@sh tests/setup.sh build hostile
	$(MAKE) --no-print-directory build
	cargo build $(CARGO_FLAGS) --features fault-injection --target-dir target/fault-injection
	@sh tests/venv.sh
	@sh tests/hostile/all.sh

# Builds only what is missing, so that `sudo make install` after `make build` compiles nothing as root.
install:
	@test -f $(MODULE) || $(MAKE) --no-print-directory build
	@sh apache-conf/install.sh install $(MODULE)

uninstall:
	@sh apache-conf/install.sh uninstall

clean:
	rm -rf target
	@echo 'The environments of tests and benchmark are still in $(TEST_CACHE)'
