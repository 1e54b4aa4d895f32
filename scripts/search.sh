#!/bin/sh
# Reproduces the figures of architecture search in book/measured.md:
#
#   sh scripts/search.sh OUT DATA [ARCHITECTURES]
#
# DATA is a folder with `mnist1d` (mnist1d-train.csv.gz, mnist1d-test.csv.gz). OUT/table gets a table of so many architectures of `cell-1d` (1000), each trained
# with three seeds; it goes on where it stopped. OUT/trained-* are searches that train their candidates. OUT/search searches the same space with weights from a hypernetwork, and its predictions are judged by the table.
# HYPERLOOM_DEVICE names the device (cpu).
set -eu
if [ $# -lt 2 ]; then
    echo "usage: sh scripts/search.sh OUT DATA [ARCHITECTURES]" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
data=$(cd "$2" && pwd)/mnist1d
many=${3:-1000}
cd "$(dirname "$0")/.."
device=${HYPERLOOM_DEVICE:-cpu}
cargo build --release --bin hyperloom
search() {
    folder=$1
    shift
    [ -f "$out/$folder/report.json" ] || target/release/hyperloom search --device "$device" --out "$out/$folder" "$@"
}
rows="--train $data/mnist1d-train.csv.gz --test $data/mnist1d-test.csv.gz --label label --space cell-1d"
if [ -f "$out/table/search.toml" ]; then
    search table --resume --table "$many"
else
    search table $rows --evaluator trained --set train.steps=800 --set round=20 --table "$many"
fi
# Ten searches of each kind that train a twentieth as much as a table of 540 did, from open choices of the space.
for seed in ${HYPERLOOM_SEEDS:-0 1 2 3 4 5 6 7 8 9}; do
    for choice in surrogate evolution random; do
        search "trained-$choice-$seed" $rows --evaluator trained --choice "$choice" --seed "$seed" --budget 72 --set share=1 --set round=12 --set checked=0 --set train.steps=800
    done
done
for choice in evolution random; do
    search "$choice" $rows --evaluator generated --choice "$choice" --set hypernetwork.steps=1500 --set train.steps=800 --truth "$out/table/table.jsonl"
done
