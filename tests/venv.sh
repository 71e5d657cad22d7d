#!/bin/sh
# Makes the virtual environment that the live tests run in: pytest and what tests/requirements.txt names.
# Called by `make live`; it is made anew when requirements.txt has changed.
set -eu
cd "$(dirname "$0")"

venv=$TEST_CACHE/venv
python=/usr/bin/python3
[ -x $python ] || python=python3

cmp -s requirements.txt "$venv/requirements.txt" && exit 0
mkdir -p "$TEST_CACHE"
chmod 755 "$TEST_CACHE"
$python -m venv --clear "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check -r requirements.txt
cp requirements.txt "$venv/requirements.txt"
