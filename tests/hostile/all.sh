#!/bin/sh
# All attacks, one after the other, in HOSTILE_SECONDS (1800) seconds together; HOSTILE_SEED, which is printed, repeats
# their choices. Called by `make hostile`. Those that need the feature `fault-injection` get that build.
set -eu
cd "$(dirname "$0")/../.."

whole=${HOSTILE_SECONDS:-1800}
export HOSTILE_SEED="${HOSTILE_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}"
export PYTHONPATH=tests/harness:tests/hostile
python=$TEST_CACHE/venv/bin/python
echo "HOSTILE_SEED=$HOSTILE_SEED, $whole s"

# attack SHARE COMMAND...: with so many hundredths of the time.
attack() {
    seconds=$((whole * $1 / 100))
    shift
    echo "== $seconds s: $*"
    HOSTILE_SECONDS=$seconds "$@"
}

attack 20 "$python" tests/hostile/hostile_daemon.py
attack 15 "$python" tests/hostile/peers.py
attack 20 "$python" -m pytest -q -s -p no:cacheprovider tests/hostile/supervisor.py
attack 10 "$python" tests/hostile/cardinality.py
attack 10 "$python" tests/hostile/inject.py
attack 20 sh tests/hostile/fuzz.sh
attack 5 "$python" tests/hostile/valgrind.py
