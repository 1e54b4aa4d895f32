#!/bin/sh
# Reproduces the table of grouped CSV files in book/measured.md:
#
#   sh scripts/grouped.sh DATA OUT [SET…]
#
# DATA holds grouped/*.csv, grouped/splits/*.json and wisdm/wisdm.csv; OUT gets a run folder for each set and seed,
# and keeps those that are finished. SET limits it to some of: ChickWeight sleepstudy Oxboys egsingle InstEval
# Hsb82 wisdm-10 wisdm-30. The default configuration throughout. HYPERLOOM_DEVICE names the device (auto),
# SEEDS the seeds ("0 1 2 3 4").
set -eu
if [ $# -lt 2 ]; then
    echo "usage: sh scripts/grouped.sh DATA OUT [SET...]" >&2
    exit 2
fi
mkdir -p "$2"
data=$(cd "$1" && pwd)
out=$(cd "$2" && pwd)
shift 2
cd "$(dirname "$0")/.."
sets=${*:-ChickWeight sleepstudy Oxboys egsingle InstEval Hsb82 wisdm-10 wisdm-30}

default_device=auto
. scripts/runs.sh

# grouped NAME SEED GROUP TARGET [ARGUMENTS...], with the splits that other methods were measured on
grouped() {
    name=$1 seed=$2 group=$3 target=$4
    shift 4
    train "$name" "$seed" --csv "$data/grouped/$name.csv" --splits "$data/grouped/splits/$name.json" \
        --group "$group" --target "$target" "$@"
}

for set in $sets; do
    for seed in ${SEEDS:-0 1 2 3 4}; do
        case $set in
            ChickWeight) grouped "$set" "$seed" Chick weight ;;
            sleepstudy) grouped "$set" "$seed" Subject Reaction ;;
            Oxboys) grouped "$set" "$seed" Subject height ;;
            egsingle) grouped "$set" "$seed" childid math --drop schoolid ;;
            InstEval) grouped "$set" "$seed" s y --drop d ;;
            Hsb82) grouped "$set" "$seed" school mAch ;;
            wisdm-*)
                train "$set" "$seed" --csv "$data/wisdm/wisdm.csv" --group user --target class \
                    --drop UNIQUE_ID --shots "${set#wisdm-}"
                ;;
            *)
                echo "error: no set called $set" >&2
                exit 2
                ;;
        esac
    done
done
# shellcheck disable=SC2086 # names without spaces
"$bin/examples/results_table" "$out" $sets
