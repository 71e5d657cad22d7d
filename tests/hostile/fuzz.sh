#!/bin/sh
# Runs libFuzzer over the decoders and parsers of src/fuzz, guided by what of the code each input reaches:
#   sh tests/hostile/fuzz.sh [target ...]      all targets, if none is named
# HOSTILE_SECONDS is the time for all of them together (600); with FUZZ_RUNS each target has so many
# executions instead, however long they take. HOSTILE_SEED repeats a run. An input that fails is kept in
# target/fuzz/found, and FUZZ_TARGET=name target/fuzz/x86_64-unknown-linux-gnu/release/fuzz FILE runs it again.
# FUZZ_KEEP=1 adds the inputs that reach new code to tests/hostile/corpus, which `cargo test` runs too.
set -eu
cd "$(dirname "$0")/../.."

seed=${HOSTILE_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
triple=$(rustc -vV | sed -n 's/^host: //p')
folder=$PWD/target/fuzz
program=$folder/$triple/release/fuzz

# What cargo-fuzz sets, but for the sanitizer, which stable compilers do not have. With --target it holds for
# what is fuzzed, and not for build scripts.
level='-Cllvm-args=-sanitizer-coverage'
RUSTFLAGS="-Cpasses=sancov-module $level-level=4 $level-inline-8bit-counters $level-pc-table $level-trace-compares" \
    CARGO_TARGET_DIR=$folder \
    cargo build --quiet --locked --release --target "$triple" --manifest-path tests/hostile/fuzz/Cargo.toml
targets=${*:-$(FUZZ_TARGET='' "$program" 2>&1 | sed -n 's/.*set it to one of //p')}
mkdir -p "$folder/found"
number=$(echo "$targets" | wc -w)
echo "seed $seed (HOSTILE_SEED), $number targets"
for target in $targets; do
    known=tests/hostile/corpus/$target
    work=$folder/corpus/$target
    rm -rf "$work"
    mkdir -p "$work" "$known"
    FUZZ_TARGET=$target FUZZ_SEEDS=$work "$program" >/dev/null
    if [ -n "${FUZZ_RUNS:-}" ]; then
        limit=-runs=$FUZZ_RUNS
    else
        limit=-max_total_time=$((${HOSTILE_SECONDS:-600} / number + 1))
    fi
    log=$folder/$target.log
    if ! FUZZ_TARGET=$target "$program" "$limit" "-seed=$seed" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 "-artifact_prefix=$folder/found/$target-" "$work" "$known" >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "$target FAILED: HOSTILE_SEED=$seed sh tests/hostile/fuzz.sh $target"
        exit 1
    fi
    if [ -n "${FUZZ_KEEP:-}" ]; then
        rm -rf "$folder/smallest"
        mkdir "$folder/smallest"
        FUZZ_TARGET=$target "$program" -merge=1 "$folder/smallest" "$known" "$work" >/dev/null 2>&1
        rm -rf "$known"
        # Small ones, and few: they are a beginning, not all that is known.
        mkdir "$known"
        find "$folder/smallest" -type f -size -2 | sort | head -n 24 | xargs -r cp -t "$known"
    fi
    sed -n 's/^stat::number_of_executed_units: */executions /p; s/^stat::average_exec_per_sec: */a second /p' "$log" |
        tr '\n' ' '
    echo "$target"
done
