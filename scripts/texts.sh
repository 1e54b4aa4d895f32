#!/bin/sh
# Language models of characters beside one another: sh scripts/texts.sh OUT TEXT [SEEDS]
#
# LSTMs, one of the HyperLSTM's number of parameters, with layer norms, and HyperLSTMs, each trained for 3,000 steps on nine tenths of a
# text with every seed; OUT/table.md has the bits a character of the last tenth. HYPERLOOM names the command (not given: it is built),
# STEPS another number of steps, RATE another learning rate than .002.
set -eu
cd "$(dirname "$0")/.."
out=$1
text=$2
seeds=${3:-"0 1 2"}
mkdir -p "$out"
if [ -z "${HYPERLOOM:-}" ]; then
    cargo build --release --quiet --bin hyperloom
    HYPERLOOM=target/release/hyperloom
fi
net() {
    printf '[[net]]\nembed = 64\n[[net]]\n%s\n' "$2" >"$out/$1.toml"
}
net lstm-128 'recurrent = "lstm"
units = 128'
net lstm-152 'recurrent = "lstm"
units = 152'
net ln-lstm-128 'recurrent = "lstm"
units = 128
norm = true'
net hyper-lstm-128 'hyper_lstm = 128
hyper = 32'
net ln-hyper-lstm-128 'hyper_lstm = 128
hyper = 32
norm = true'
for seed in $seeds; do
    for name in lstm-128 lstm-152 ln-lstm-128 hyper-lstm-128 ln-hyper-lstm-128; do
        run=$out/$name-$seed
        [ -e "$run/report.json" ] && continue
        rm -rf "$run"
        "$HYPERLOOM" train --files "$text" --net "$out/$name.toml" --seed "$seed" --device "${DEVICE:-cpu}" --out "$run" \
            --set train.learning_rate="${RATE:-0.002}" ${STEPS:+--steps "$STEPS"} >"$run.log" 2>&1
    done
done
{
    echo "| network | parameters | bits a character, last tenth, by seed | mean | on validation (first twentieth) | seconds |"
    echo "|---|---|---|---|---|---|"
    for name in lstm-128 lstm-152 ln-lstm-128 hyper-lstm-128 ln-hyper-lstm-128; do
        python3 - "$name" "$out" $seeds <<'PY'
import json, math, sys

name, out, *seeds = sys.argv[1:]
runs = [json.load(open(f"{out}/{name}-{seed}/report.json")) for seed in seeds]
bits = [r["test"]["bits_per_character"] for r in runs]
held = [r["test"]["validation"][-1]["loss"] / math.log(2) for r in runs]
mean = lambda x: sum(x) / len(x)
print(
    f"| {name} | {runs[0]['test']['parameters']:,} | {', '.join(f'{b:.3f}' for b in bits)} | {mean(bits):.3f} | {mean(held):.3f} "
    f"| {mean([r['seconds'] for r in runs]):.0f} |"
)
PY
    done
} >"$out/table.md"
cat "$out/table.md"
