#!/bin/sh
# Reproduces the figures of tasks one after another in book/measured.md:
#
#   sh scripts/continual.sh OUT [DATA [FASHION]]
#
# Polynomials from three seeds (SEEDS); with DATA, a folder with mnist1d/, wisdm/ and omniglot/, parts of MNIST-1D's classes, orders of its inputs, ten users of WISDM, and 50 alphabets
# (python3 makes tables of them); with FASHION, the folder of Fashion-MNIST's IDX files (Debian: dataset-fashion-mnist), parts of its classes, and all of it by a few parameters. OUT gets a run folder for each, and those that are finished are not run
# again. HYPERLOOM names the command (not given: it is built), DEVICE where it computes (cpu).
set -eu
if [ $# -lt 1 ]; then
    echo "usage: sh scripts/continual.sh OUT [DATA [FASHION]]" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
data=${2:+$(cd "$2" && pwd)}
fashion=${3:+$(cd "$3" && pwd)}
cd "$(dirname "$0")/.."
device=${DEVICE:-cpu}
if [ -z "${HYPERLOOM:-}" ]; then
    cargo build --release --quiet --bin hyperloom
    HYPERLOOM=target/release/hyperloom
fi
# `learn NAME SEED ARGUMENTS...`
learn() {
    name=$1-$2
    seed=$2
    shift 2
    if [ -f "$out/$name/report.json" ]; then
        return
    fi
    rm -rf "$out/$name"
    echo "$name" >&2
    "$HYPERLOOM" train --task continual --device "$device" --seed "$seed" --out "$out/$name" "$@" >"$out/$name.txt" 2>"$out/$name.log"
}
for seed in ${SEEDS:-0 1 2}; do
    learn polynomials "$seed" --source polynomials
done
if [ -n "$data" ]; then
    # In each step the hypernetwork is held to what it wrote for one earlier task.
    signals="--source $data/mnist1d/mnist1d-train.csv.gz --test $data/mnist1d/mnist1d-test.csv.gz --label label"
    learn signals 0 $signals --tasks 5 --net cnn --set learning.past=1 --set learning.beta=1
    learn orders 0 $signals --tasks 10 --set permuted=true --set 'hidden=[200, 200]' --set 'trunk=[64, 64]' --set embedding=32 \
        --set 'generator={kind="chunked",chunk=256,embedding=32,base=false}' --set learning.past=2 --set learning.beta=0.3 --set learning.ewc=100
    [ -d "$out/alphabets" ] || python3 scripts/alphabets.py "$data/omniglot" "$out/alphabets"
    learn characters 0 --source "$out/alphabets"/*.csv --label label --steps 300 --set 'hidden=[64]' --set 'trunk=[64, 64]' --set generator=linear --set embedding=32 \
        --set learning.past=8 --set learning.beta=10 --set "beside=['fine-tune', 'ewc', 'separate']"
    learn users 0 --source "$data/wisdm/wisdm.csv" --group user --target class --drop UNIQUE_ID --tasks 10
fi
if [ -n "$fashion" ]; then
    learn fashion 0 --source "$fashion/train-images-idx3-ubyte.gz" --test "$fashion/t10k-images-idx3-ubyte.gz" --tasks 5 \
        --set 'hidden=[400, 400]' --set learning.batch=128 --set learning.past=1 --steps 1000
    # One task: all classes, by 58,293 parameters, and by the network's own 478,410.
    all="--source $fashion/train-images-idx3-ubyte.gz --test $fashion/t10k-images-idx3-ubyte.gz --tasks 1 --steps 24000 --set hidden=[400,400] --set beside=[]"
    learn chunks 0 $all --set 'generator={kind="chunked",chunk=400,embedding=36,base=false}' --set 'trunk=[]' --set embedding=1 --set learning.rate=0.01
    learn direct 0 $all --method separate
fi
