#!/bin/sh
# Reproduces the tables of kinds of hypernetworks, and of what they write at first, in book/measured.md:
#
#   sh scripts/generators.sh OUT
#
# Sine waves, 10 shots, 10,000 steps of 25 tasks, three seeds of each kind (SEEDS): three sweeps, whose sweep.json has the figures. OUT gets a folder for each, and runs that are finished are not
# run again. HYPERLOOM names the command (not given: it is built), DEVICE where it computes (cpu).
set -eu
if [ $# -lt 1 ]; then
    echo "usage: sh scripts/generators.sh OUT" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
if [ -z "${HYPERLOOM:-}" ]; then
    cargo build --release --quiet --bin hyperloom
    HYPERLOOM=target/release/hyperloom
fi
# `sweep NAME ARGUMENTS...`
sweep() {
    name=$1
    shift
    "$HYPERLOOM" sweep --task sine --device "${DEVICE:-cpu}" --steps 10000 --seeds "${SEEDS:-3}" --out "$out/$name" "$@"
}
alone='{ kind = "chunked", chunk = 64, base = false }'
drawn='model.hyper_init=hyperfan-in,hyperfan-out'
sweep kinds --over "model.generator=linear,chunked,$alone,low-rank,{ kind = \"low-rank\", rank = 1, scale = 1 },film,masked,mixture,recurrent"
sweep inits --over "model.generator=linear,chunked,$alone,recurrent" --over "$drawn"
sweep transformer --set 'model.trunk=[]' --over model.generator=transformer --over model.hyper_init=bias,hyperfan-in,hyperfan-out
