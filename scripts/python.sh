#!/bin/sh
# The Python package: builds a wheel, installs it into a fresh virtual environment and runs its tests there: sh scripts/python.sh
#
# maturin and what the tests need come from pip. HYPERLOOM_PYTHON=off leaves it out.
set -eu
cd "$(dirname "$0")/.."

if [ "${HYPERLOOM_PYTHON:-on}" = off ]; then
    echo "Python: left out, as HYPERLOOM_PYTHON=off asks"
    exit 0
fi
if ! command -v python3 >/dev/null 2>&1; then
    echo "error: the Python package needs Python 3.10 or later, and there is no 'python3'. Install it, or leave the package out:" \
        "HYPERLOOM_PYTHON=off" >&2
    exit 1
fi
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
tools=$target/python/tools
fresh=$target/python/fresh
rm -rf "$target/python/wheels" "$fresh"
if [ ! -x "$tools/bin/maturin" ]; then
    python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check 'maturin>=1.9,<2'
fi
# With the features of the other tests, so that it is their build that is used.
VIRTUAL_ENV=$tools PATH=$tools/bin:$PATH "$tools/bin/maturin" build --quiet --manifest-path python/Cargo.toml \
    --profile dev --features tests --out "$target/python/wheels"
python3 -m venv "$fresh"
"$fresh/bin/python" -m pip install --quiet --disable-pip-version-check \
    "$(ls "$target"/python/wheels/*.whl)[test]"
cd python
"$fresh/bin/python" -m pytest -q
