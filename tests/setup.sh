#!/bin/sh
# Installs what this machine lacks, and nothing else. Called by the Makefile with what is wanted: build, test, real,
# bench, hostile. On Debian and Ubuntu it uses apt-get, as root or through sudo; elsewhere it names what to install. Of
# Apache it takes the package with the programs only (apache2-bin): that one brings no service, so nothing is started
# and no configuration of the machine's own Apache is written or changed.
set -eu
cd "$(dirname "$0")/.."

debs='' rpms=''
missing() { debs="$debs $1"; rpms="$rpms $2"; }
have() { command -v "$1" >/dev/null 2>&1; }
any() { for file in "$@"; do [ -e "$file" ] && return; done; return 1; }

python=/usr/bin/python3
[ -x $python ] || python=python3

# The cargo of this machine is taken when it is new enough for Cargo.toml's rust-version.
cargo_is_new_enough() {
    have cargo && have rustc || return 1
    wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "${wanted:-1.85}" "$found" | sort -V | head -n1)" = "${wanted:-1.85}" ]
}

build() {
    have apache2 || have httpd || missing apache2-bin httpd
    have apxs || missing apache2-dev httpd-devel
    have gcc || missing gcc gcc
    any /usr/include/stdio.h || missing libc6-dev glibc-devel
    any /usr/lib/llvm-*/lib/libclang.so /usr/lib*/libclang.so /usr/lib/*/libclang.so || missing libclang-dev clang-devel
    have $python || missing python3 python3
    any "$($python -c 'import sysconfig; print(sysconfig.get_path("include"))' 2>/dev/null)/Python.h" \
        || missing python3-dev python3-devel
    $python -c 'import ensurepip' 2>/dev/null || missing python3-venv python3
    have curl || missing curl curl
    have patchelf || missing patchelf patchelf
    any /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt || missing ca-certificates ca-certificates
    # rustc-web is what Debian's security updates keep current; its rustc package is years older.
    cargo_is_new_enough || missing 'rustc-web cargo-web' 'rust cargo'
}

lints() {
    cargo fmt --version >/dev/null 2>&1 || missing rustfmt-web rustfmt
    cargo clippy --version >/dev/null 2>&1 || missing rust-web-clippy clippy
}

# A debug build of CPython, for one of the live tests.
debug_python() {
    any /usr/bin/python3.*d || missing python3-dbg python3-debug
}

real() {
    any /usr/lib/*/libcairo.so.2 /usr/lib*/libcairo.so.2 || missing libcairo2 cairo # Graphite draws with it
}

for want in "$@"; do
    case $want in
        build) build ;;
        test) lints; debug_python ;;
        real) real ;;
        bench) have wrk || missing wrk wrk ;;
        hostile) have valgrind || missing valgrind valgrind ;;
        *) echo "setup.sh: unknown: $want" >&2; exit 2 ;;
    esac
done
[ -n "$debs" ] || exit 0

if ! have apt-get; then
    echo "Please install:$rpms (these are Fedora's names), then run this again." >&2
    exit 1
fi
# --no-remove: rather stop than replace a toolchain that somebody chose.
line="apt-get install -y --no-install-recommends --no-remove$debs"
if [ "$(id -u)" = 0 ]; then
    as_root='env DEBIAN_FRONTEND=noninteractive'
elif have sudo; then
    as_root='sudo env DEBIAN_FRONTEND=noninteractive'
else
    echo "As root, please run: apt-get update && $line" >&2
    exit 1
fi
echo "Installing:$debs"
$as_root apt-get update -q
# shellcheck disable=SC2086 # a list of words
$as_root $line || { echo "This did not work. As root: $line" >&2; exit 1; }
cargo_is_new_enough || { echo "The first cargo on PATH is too old: $(command -v cargo)" >&2; exit 1; }
