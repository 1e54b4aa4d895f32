#!/bin/sh
# Reproduces the table of kinds of hypernetworks in book/measured.md:
#
#   sh scripts/generators.sh OUT
#
# Sine waves, 10 shots, 10,000 steps of 25 tasks by every generator, three seeds each (SEEDS). OUT gets a run folder for each, and those that are finished
# are not run again. HYPERLOOM_DEVICE names the device (cpu).
set -eu
if [ $# -lt 1 ]; then
    echo "usage: sh scripts/generators.sh OUT" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

default_device=cpu
. scripts/runs.sh

for seed in ${SEEDS:-0 1 2}; do
    for kind in linear chunked low-rank film masked mixture recurrent; do
        train $kind "$seed" --steps 10000 --set "model.generator=$kind"
    done
    train low-rank-1 "$seed" --steps 10000 --set 'model.generator={kind="low-rank",rank=1,scale=1}'
    train chunked-alone "$seed" --steps 10000 --set 'model.generator={kind="chunked",chunk=64,base=false}'
    train transformer "$seed" --steps 10000 --set model.generator=transformer --set 'model.trunk=[]'
done
"$bin/examples/results_table" --steps "$out" linear chunked chunked-alone low-rank low-rank-1 film masked mixture recurrent transformer
