#!/bin/sh
# Reproduces the table of ways of adaptation in book/measured.md:
#
#   sh scripts/methods.sh OUT [OMNIGLOT]
#
# Sine waves, 10 shots, by every way, three seeds each (SEEDS); with OMNIGLOT, a folder of the four IDX files of Omniglot, also
# 5-way classification of its evaluation characters, by dense networks and by prototypes of convolutional ones. OUT gets a run folder for each, and those that are finished are not run
# again. HYPERLOOM_DEVICE names the device (cpu).
set -eu
if [ $# -lt 1 ]; then
    echo "usage: sh scripts/methods.sh OUT [OMNIGLOT]" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
characters=${2:+$(cd "$2" && pwd)}
cd "$(dirname "$0")/.."

default_device=cpu
. scripts/runs.sh

for seed in ${SEEDS:-0 1 2}; do
    train maml-short "$seed" --method maml --steps 10000 --set train.tasks=16 --set 'model.target=[32, 32]'
    for method in maml fomaml reptile anil cavia meta-sgd ridge fine-tune; do
        train $method "$seed" --method $method --steps 50000
    done
done
"$bin/examples/results_table" --steps "$out" maml-short maml fomaml reptile anil cavia meta-sgd ridge fine-tune
if [ -n "$characters" ]; then
    # `on_characters NAME SHOTS [ARGUMENTS...]`
    on_characters() {
        name=$1 shots=$2
        shift 2
        train "$name-$shots-shot" 0 --images "$characters/background-images-idx3-ubyte.gz" \
            --labels "$characters/background-labels-idx1-short.gz" \
            --test-images "$characters/evaluation-images-idx3-ubyte.gz" \
            --test-labels "$characters/evaluation-labels-idx1-short.gz" --shots "$shots" "$@"
    }
    for shots in 1 5; do
        on_characters omniglot-5-way $shots
        on_characters omniglot-5-way-prototypes $shots --net conv4-32-batch --method prototypes --steps 4000
    done
    echo
    "$bin/examples/results_table" --steps "$out" omniglot-5-way-1-shot omniglot-5-way-5-shot \
        omniglot-5-way-prototypes-1-shot omniglot-5-way-prototypes-5-shot
fi
