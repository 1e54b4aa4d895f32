#!/bin/sh
# Networks and graphs as ONNX files, run by other programs: sh scripts/onnx.sh [tract]
#
# onnx checks them and onnxruntime runs them; both come from pip, into a virtual environment under target/. With `tract` the networks are run by that
# library in Rust, which takes minutes to build. HYPERLOOM_ONNX=off leaves the check out.
set -eu
cd "$(dirname "$0")/.."

if [ "${HYPERLOOM_ONNX:-on}" = off ]; then
    echo "ONNX: left out, as HYPERLOOM_ONNX=off asks"
    exit 0
fi
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
if [ "${1:-}" = tract ]; then
    CARGO_TARGET_DIR=$target/tract cargo build --manifest-path tests/tract/Cargo.toml
    # Graphs with gradients have loops that it does not read.
    HYPERLOOM_ONNX_READER=$target/tract/debug/tract cargo test --workspace --test onnx -- --ignored networks
    exit
fi
python=$target/onnx/bin/python
if ! "$python" -c 'import onnx, onnxruntime' 2>/dev/null; then
    if ! command -v python3 >/dev/null 2>&1; then
        echo "error: the check with onnxruntime needs Python 3.10 or later, and there is no 'python3'. Install it, or leave the check out:" \
            "HYPERLOOM_ONNX=off" >&2
        exit 1
    fi
    python3 -m venv "$target/onnx"
    "$python" -m pip install --quiet --disable-pip-version-check 'onnx>=1.17,<2' 'onnxruntime>=1.20,<2'
fi
# With the features of the other tests, as they were built.
HYPERLOOM_ONNX_READER="$python tests/support/run_onnx.py" cargo test --workspace --test onnx -- --ignored
