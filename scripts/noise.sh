#!/bin/sh
# Reproduces in book/measured.md what is said of networks that are drawn by noise:
#
#   sh scripts/noise.sh DATA OUT
#
# DATA holds grouped/*.csv and grouped/splits/*.json; OUT gets a run folder for each set and seed, with noise and without, and keeps those that are finished; OUT/noise.md
# gets the table. HYPERLOOM_DEVICE names the device (cpu), SEEDS the seeds ("0 1 2"). It needs python3.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: sh scripts/noise.sh DATA OUT" >&2
    exit 2
fi
mkdir -p "$2"
data=$(cd "$1" && pwd)
out=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."

default_device=cpu
. scripts/runs.sh

# both NAME ARGUMENTS...: one network of each task, then eight by noise.
both() {
    name=$1
    shift
    for seed in ${SEEDS:-0 1 2}; do
        train "$name" "$seed" "$@"
        train "$name-noise" "$seed" "$@" --set model.noise=8
    done
}

both waves-2 --task sine --shots 2 --set train.min_shots=1
both waves-5 --task sine --shots 5
for set in "ChickWeight Chick weight" "Oxboys Subject height" "sleepstudy Subject Reaction"; do
    # shellcheck disable=SC2086
    set -- $set
    both "$1" --csv "$data/grouped/$1.csv" --splits "$data/grouped/splits/$1.json" --group "$2" --target "$3" --method fine-tune
done

python3 - "$out" ${SEEDS:-0 1 2} >"$out/noise.md" <<'EOF'
import json
import sys

out, seeds = sys.argv[1], sys.argv[2:]
print("| tasks | networks of a task | error | 80 % intervals cover | their width | 90 % cover | width | disagreement | its rank correlation with the error |")
print("|---|---|---|---|---|---|---|---|---|")
for name in ["waves-2", "waves-5", "ChickWeight", "Oxboys", "sleepstudy"]:
    for networks, end in [(1, ""), (8, "-noise")]:
        found = []
        for seed in seeds:
            with open(f"{out}/{name}{end}-{seed}/report.json") as file:
                held = json.load(file)["held_out"]
            level = lambda p: next(c for c in held["coverage"] if abs(c["level"] - p) < 1e-9)
            apart = held.get("disagreement") or {"mean": 0.0, "rank_correlation": 0.0}
            row = [held["chosen"]]
            for p in (0.8, 0.9):
                row += [100 * level(p)["covered"], level(p)["width"]]
            found.append(row + [apart["mean"], apart["rank_correlation"] or 0.0])
        means = [sum(column) / len(seeds) for column in zip(*found)]
        print(f"| {name} | {networks} | " + " | ".join(f"{m:.4g}" for m in means) + " |")
EOF
cat "$out/noise.md"
