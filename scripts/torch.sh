#!/bin/sh
# Has PyTorch load and run networks that were written out as modules: `sh scripts/torch.sh`. PyTorch is installed from Python's packages beside the build (2 GB), or
# HYPERLOOM_TORCH names an interpreter that has it, with safetensors.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
python=${HYPERLOOM_TORCH:-$target/torch/bin/python}
if ! "$python" -c 'import safetensors, torch' 2>/dev/null; then
    if ! command -v python3 >/dev/null 2>&1; then
        echo "error: the check with PyTorch needs Python 3.10 or later, and there is no 'python3': install it" >&2
        exit 1
    fi
    python3 -m venv "$target/torch"
    "$python" -m pip install --quiet --disable-pip-version-check torch numpy safetensors
fi
HYPERLOOM_TORCH="$python" cargo test --workspace --test torch -- --include-ignored
