#!/bin/sh
# Reproduces the tables of pictures in book/measured.md:
#
#   sh scripts/pictures.sh OUT DATA
#
# DATA is a folder with `mnist1d` (mnist1d-train.csv.gz, mnist1d-test.csv.gz), `cifar10` (train.bin.gz, test.bin.gz) and `omniglot` (four IDX files);
# what is not there is left out. OUT gets a run folder for each, and those that are finished are not run again. HYPERLOOM_DEVICE names the
# device (cpu). With PEER=python, an interpreter that has torch, ResNet-8 is trained by benches/peers/classify_torch.py, too.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: sh scripts/pictures.sh OUT DATA" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
data=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."

default_device=cpu
. scripts/runs.sh

if [ -d "$data/mnist1d" ]; then
    # `series NAME [ARGUMENTS...]`: all rows are trained on.
    series() {
        name=$1
        shift
        train "$name" 0 --train "$data/mnist1d/mnist1d-train.csv.gz" --test "$data/mnist1d/mnist1d-test.csv.gz" --label label \
            --set pictures.validation=0 "$@"
    }
    series mnist1d-mlp --net mlp --epochs 100 --set train.learning_rate=0.01
    series mnist1d-cnn --net scripts/series.toml --epochs 60 --set train.learning_rate=0.003
    series mnist1d-generated --net scripts/series.toml --epochs 100 --set train.learning_rate=0.006 --generated \
        --set 'model.generator={kind="static",block=16,embedding=16,features=14}'
    "$bin/hyperloom" eval --device "$device" "$out/mnist1d-mlp-0" "$out/mnist1d-cnn-0" "$out/mnist1d-generated-0" --out "$out/mnist1d"
    # The same with the positions of all signals in one random order: what lies side by side says nothing any more.
    for part in train test; do
        gzip -dc "$data/mnist1d/mnist1d-$part.csv.gz" | awk -F, -v OFS=, '
            NR == 1 { x = 7; for (i = 1; i <= NF; i++) { o[i] = i; if ($i == "label") o[i] = -i }
                for (i = NF; i > 1; i--) { x = (x * 75 + 74) % 65537; j = 1 + x % i
                    if (o[i] > 0 && o[j] > 0) { t = o[i]; o[i] = o[j]; o[j] = t } }
                for (i = 1; i <= NF; i++) if (o[i] < 0) o[i] = -o[i]
                print; next }
            { line = $(o[1]); for (i = 2; i <= NF; i++) line = line OFS $(o[i]); print line }' >"$out/permuted-$part.csv"
    done
    train mnist1d-cnn-permuted 0 --train "$out/permuted-train.csv" --test "$out/permuted-test.csv" --label label \
        --set pictures.validation=0 --net scripts/series.toml --epochs 60 --set train.learning_rate=0.003
fi
if [ -d "$data/cifar10" ]; then
    # `colours NAME RATE DECAY [ARGUMENTS...]`: 20 epochs of all rows, moved and mirrored.
    colours() {
        name=$1 rate=$2 decay=$3
        shift 3
        train "$name" 0 --train "$data/cifar10/train.bin.gz" --test "$data/cifar10/test.bin.gz" --net resnet8 --epochs 20 \
            --set pictures.validation=0 --set pictures.shifts=true --set pictures.flips=true --set train.learning_rate=$rate \
            --set "train.optimiser={kind='adamw',decay=$decay}" "$@"
    }
    colours cifar10-resnet8 0.003 0.05
    colours cifar10-resnet8-generated 0.01 0.02 --generated --set 'model.generator={kind="static",embedding=64}'
    "$bin/hyperloom" eval --device "$device" "$out/cifar10-resnet8-0" "$out/cifar10-resnet8-generated-0" --out "$out/cifar10"
    if [ -n "${PEER:-}" ]; then
        for layout in "" --channels-last; do
            "$PEER" benches/peers/classify_torch.py --train "$data/cifar10/train.bin.gz" --test "$data/cifar10/test.bin.gz" --epochs 20 $layout
        done
    fi
    for code in 128 256 384; do
        train fields-$code 0 --task fields --images "$data/cifar10/train.bin.gz" --test-images "$data/cifar10/test.bin.gz" \
            --set model.context=$code --set train.learning_rate=0.01 --steps 15000
    done
    "$bin/hyperloom" eval --device "$device" "$out/fields-128-0" "$out/fields-256-0" "$out/fields-384-0" --shots 1024 --out "$out/fields"
fi
if [ -d "$data/omniglot" ]; then
    d=$data/omniglot
    omniglot() {
        name=$1
        shift
        train "$name" 0 --images "$d/background-images-idx3-ubyte.gz" --labels "$d/background-labels-idx1-short.gz" \
            --test-images "$d/evaluation-images-idx3-ubyte.gz" --test-labels "$d/evaluation-labels-idx1-short.gz" "$@"
    }
    few() {
        name=$1 ways=$2 shots=$3 steps=$4 tasks=$5 query=$6
        shift 6
        omniglot "$name" --net conv4-32-batch --method prototypes --shots "$shots" --steps "$steps" --set images.ways="$ways" \
            --set train.tasks="$tasks" --set eval.query="$query" "$@"
    }
    few omniglot-5w1s 5 1 3000 16 15
    few omniglot-5w5s 5 5 9000 16 15
    few omniglot-20w1s 20 1 12000 4 5
    few omniglot-20w5s 20 5 8000 4 5
    few omniglot-5w1s-written 5 1 3000 16 15 --generated
    omniglot omniglot-decoders --task decoders
    omniglot omniglot-decoders-1-shot --task decoders --shots 1
fi
