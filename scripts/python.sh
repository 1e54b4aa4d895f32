#!/bin/sh
# The Python package: a wheel, installed into a fresh virtual environment, and its tests there: sh scripts/python.sh [release]
#
# The native module is the one that is built beside the other tests; `release` has maturin build the wheel that users get, from the start. maturin and what
# the tests need come from pip. HYPERLOOM_PYTHON=off leaves it out.
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
wheels=$target/python/wheels
rm -rf "$wheels" "$fresh"
mkdir -p "$wheels"
if ! "$tools/bin/python" -c 'import maturin, wheel' 2>/dev/null; then
    python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check 'maturin>=1.9,<2' 'wheel>=0.45,<1'
fi
PATH=$tools/bin:$PATH
if [ "${1:-}" = release ]; then
    VIRTUAL_ENV=$tools maturin build --release --manifest-path python/Cargo.toml --out "$wheels"
else
    # In one call with the tests, whose features all dependencies are built with.
    PYO3_BUILD_EXTENSION_MODULE=1 cargo build --workspace --lib --tests
    unpacked=$target/python/unpacked
    rm -rf "$unpacked"
    mkdir -p "$unpacked"
    (cd python && maturin pep517 write-dist-info --metadata-directory "$unpacked" --interpreter "$tools/bin/python" >/dev/null)
    cp -r python/package/hyperloom "$unpacked/"
    for library in lib_hyperloom.so lib_hyperloom.dylib; do
        if [ -f "$target/debug/$library" ]; then cp "$target/debug/$library" "$unpacked/hyperloom/_hyperloom.abi3.so"; fi
    done
    python -m wheel pack --dest-dir "$wheels" "$unpacked" >/dev/null
fi
python3 -m venv "$fresh"
"$fresh/bin/python" -m pip install --quiet --disable-pip-version-check "$(ls "$wheels"/*.whl)[test]"
cd python
"$fresh/bin/python" -m pytest -q
