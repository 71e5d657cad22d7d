#!/bin/sh
# Asks cargo-deny whether the crates of Cargo.lock are as deny.toml wants them, and whether one has a known
# vulnerability. Called by `make check`. The first run compiles the tool, which takes one or two minutes, and keeps it
# in TEST_CACHE. The list of vulnerabilities is a repository on github.com: without it the last line says what is missing.
set -eu
cd "$(dirname "$0")/.."

version=0.20.2
folder=$TEST_CACHE/cargo-deny
deny=$folder/bin/cargo-deny

if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    mkdir -p "$TEST_CACHE"
    chmod 755 "$TEST_CACHE"
    # Without optimisation and symbols: it runs for a second. In a folder of cargo's own, which is removed afterwards.
    env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --config profile.dev.debug=0 --root "$folder" \
        "cargo-deny@$version"
fi

"$deny" --locked check bans licenses sources
# The fuzzer has a Cargo.lock of its own, and a deny.toml beside it.
"$deny" --locked --manifest-path tests/hostile/fuzz/Cargo.toml check bans licenses sources
if refusal=$(timeout 60 "$deny" fetch db 2>&1); then
    "$deny" --locked check advisories
else
    reason=$(printf '%s\n' "$refusal" | sed '/^$/d' | tail -n 1)
    echo "advisories NOT CHECKED, their list cannot be fetched: ${reason:-no answer within a minute}"
fi
