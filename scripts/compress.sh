#!/bin/sh
# Reproduces the table of smaller networks in book/measured.md:
#
#   sh scripts/compress.sh OUT DATA [SETS...]
#
# DATA is a folder with `grouped` (CSV files and their splits), `wisdm`, `mnist1d` and `omniglot`. SETS are some of ChickWeight sleepstudy Oxboys egsingle Hsb82 wisdm mnist1d
# omniglot (not given: all). OUT gets a run folder for each set, and one for each way of compression beside it; those that are there are not made again. HYPERLOOM_DEVICE
# names the device (cpu).
set -eu
if [ $# -lt 2 ]; then
    echo "usage: sh scripts/compress.sh OUT DATA [SETS...]" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
data=$(cd "$2" && pwd)
shift 2
cd "$(dirname "$0")/.."
sets=${*:-ChickWeight sleepstudy Oxboys egsingle Hsb82 wisdm mnist1d omniglot}

default_device=cpu
. scripts/runs.sh

# grouped NAME GROUP TARGET [ARGUMENTS...], with the splits that other methods were measured on
grouped() {
    name=$1 group=$2 target=$3
    shift 3
    train "$name" 0 --csv "$data/grouped/$name.csv" --splits "$data/grouped/splits/$name.json" --group "$group" --target "$target" "$@"
}

# smaller NAME WAY [ARGUMENTS...]
smaller() {
    from="$out/$1-0" to="$out/$1-0-$2"
    shift 2
    [ -f "$to/compress.json" ] || "$bin/hyperloom" compress --device "$device" "$from" --out "$to" "$@"
}

for set in $sets; do
    case $set in
        ChickWeight) grouped "$set" Chick weight ;;
        sleepstudy) grouped "$set" Subject Reaction ;;
        Oxboys) grouped "$set" Subject height ;;
        egsingle) grouped "$set" childid math --drop schoolid ;;
        Hsb82) grouped "$set" school mAch ;;
        wisdm) train "$set" 0 --csv "$data/wisdm/wisdm.csv" --group user --target class --drop UNIQUE_ID --shots 10 ;;
        mnist1d)
            train "$set" 0 --train "$data/mnist1d/mnist1d-train.csv.gz" --test "$data/mnist1d/mnist1d-test.csv.gz" --label label \
                --net scripts/series.toml --epochs 60 --set train.learning_rate=0.003
            ;;
        omniglot)
            background="$data/omniglot/background" evaluation="$data/omniglot/evaluation"
            train "$set" 0 --images "$background-images-idx3-ubyte.gz" --labels "$background-labels-idx1-short.gz" \
                --test-images "$evaluation-images-idx3-ubyte.gz" --test-labels "$evaluation-labels-idx1-short.gz" \
                --net conv4-32 --method prototypes --shots 5 --steps 1500 --set images.ways=5 --set train.tasks=16 --set eval.query=15 --set eval.tasks=100
            ;;
        *)
            echo "error: no set called $set" >&2
            exit 2
            ;;
    esac
    smaller "$set" int8
    smaller "$set" int8-activations --activations
    smaller "$set" int8-tensor --numbers int8-tensor
    smaller "$set" int4 --numbers int4
    smaller "$set" pruned --numbers f32 --prune 0.8
    smaller "$set" pruned-int8 --prune 0.8
    smaller "$set" pruned-trained --numbers f32 --prune 0.8 --steps 300
    smaller "$set" pruned-int8-trained --prune 0.8 --steps 300
done
python3 scripts/compress_table.py "$out"
