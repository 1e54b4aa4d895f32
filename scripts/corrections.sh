#!/bin/sh
# Reproduces in book/measured.md what is said of corrections of rank 1 to networks that stay as they are, and of tasks that are known by an embedding alone:
#
#   sh scripts/corrections.sh DATA OUT
#
# DATA holds grouped/*.csv, grouped/splits/*.json and wisdm/wisdm.csv; OUT gets a run folder for each set and seed, and keeps those that are finished. HYPERLOOM_DEVICE names
# the device (cpu), SEEDS the seeds ("0 1 2").
set -eu
if [ $# -ne 2 ]; then
    echo "usage: sh scripts/corrections.sh DATA OUT" >&2
    exit 2
fi
mkdir -p "$2"
data=$(cd "$1" && pwd)
out=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."

default_device=cpu
. scripts/runs.sh

# both NAME ARGUMENTS...: the full head, then corrections of rank 1 to that run's pooled network.
both() {
    name=$1
    shift
    train "$name" "$seed" "$@"
    train "$name-rank1" "$seed" "$@" --base "$out/$name-$seed" --set "model.generator={kind='low-rank',rank=1,scale=1.0}"
}

# grouped NAME GROUP TARGET [ARGUMENTS...]
grouped() {
    name=$1 group=$2 target=$3
    shift 3
    both "$name" --csv "$data/grouped/$name.csv" --splits "$data/grouped/splits/$name.json" --group "$group" --target "$target" "$@"
}

for seed in ${SEEDS:-0 1 2}; do
    grouped ChickWeight Chick weight
    grouped sleepstudy Subject Reaction
    grouped Oxboys Subject height
    grouped egsingle childid math --drop schoolid
    grouped Hsb82 school mAch
    both wisdm-10 --csv "$data/wisdm/wisdm.csv" --group user --target class --drop UNIQUE_ID --shots 10
done

# A thousand sine waves as groups of 20 rows.
waves=$out/waves.csv
awk 'BEGIN {
    srand(0); print "wave,x,y"
    for (w = 0; w < 1000; w++) {
        a = 0.1 + 4.9 * rand(); p = 3.141592653589793 * rand()
        for (i = 0; i < 20; i++) { x = 10 * rand() - 5; printf "%d,%.4f,%.4f\n", w, x, a * sin(x - p) }
    }
}' >"$waves"
for seed in ${SEEDS:-0 1 2}; do
    set -- --csv "$waves" --group wave --target y --shots 10 --steps 5000 --method fine-tune --set 'model.target=[40,40]' --set model.activation=relu \
        --set model.members=1 --set model.start=fresh --set train.tasks=64 --set train.pooled_steps=500 --set eval.query=10 --set adapt.clip=10
    train encoder "$seed" "$@" --set 'model.encoder=[64,64]' --set 'model.trunk=[128]'
    train embedding "$seed" "$@" --set 'model.encoder=[]' --set model.embedding=16 --set 'model.trunk=[128,128]' --set adapt.fast=embedding --set adapt.rate=1 \
        --set 'adapt.steps=[0,10,50,200]'
done
