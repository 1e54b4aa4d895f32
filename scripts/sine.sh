#!/bin/sh
# Times `hyperloom train` on the sine family, beside a JAX script that trains the same model:
#
#   JAX_SINE=path/to/sine.py sh scripts/sine.sh [REPEATS [STEPS]]
#
# REPEATS 3, STEPS 10000 where not given. The two run in turn (A B A B …), so that what else the machine does
# falls on both. A is the whole command: pooled network (a baseline, 2000 steps), hypernetwork, judging on 2000
# unseen tasks, pictures. B is `python sine.py hnet:bias:25:STEPS SEED`: compiling, training, judging.
# Without JAX_SINE only A is timed. PYTHON names the interpreter (python3), HYPERLOOM_DEVICE the device (cpu).
set -eu
if [ -n "${JAX_SINE:-}" ]; then
    JAX_SINE=$(cd "$(dirname "$JAX_SINE")" && pwd)/$(basename "$JAX_SINE")
fi
cd "$(dirname "$0")/.."
repeats=${1:-3}
steps=${2:-10000}
device=${HYPERLOOM_DEVICE:-cpu}
python=${PYTHON:-python3}

cargo build --release --quiet
bin=${CARGO_TARGET_DIR:-target}/release/hyperloom
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

now() { date +%s.%N; }
since() { echo "$1 $(now)" | awk '{ printf "%.2f", $2 - $1 }'; }
# The lower of the two middle values where their number is even.
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
field() { sed -n "s/^ *\"$2\": \([0-9.eE+-]*\),*$/\1/p" "$1" | head -n 1; }

seed=0
while [ "$seed" -lt "$repeats" ]; do
    begin=$(now)
    RUST_LOG=warn "$bin" train --device "$device" --steps "$steps" --seed "$seed" --out "$work/$seed" >/dev/null 2>&1
    seconds=$(since "$begin")
    echo "$seconds" >>"$work/a"
    field "$work/$seed/report.json" seconds >>"$work/a.training"
    echo "hyperloom  seed $seed: $seconds s, training $(field "$work/$seed/report.json" seconds) s," \
        "held-out mse without adaptation $(field "$work/$seed/report.json" 0)"
    if [ -n "${JAX_SINE:-}" ]; then
        begin=$(now)
        said=$("$python" "$JAX_SINE" "hnet:bias:25:$steps" "$seed")
        seconds=$(since "$begin")
        echo "$seconds" >>"$work/b"
        echo "jax        seed $seed: $seconds s; $said"
    fi
    seed=$((seed + 1))
done
echo
echo "hyperloom ($device): median $(median "$work/a") s a run, of which training $(median "$work/a.training") s"
if [ -n "${JAX_SINE:-}" ]; then
    echo "jax: median $(median "$work/b") s a run"
    echo "$(median "$work/b") $(median "$work/a")" | awk '{ printf "ratio jax / hyperloom: %.2f\n", $1 / $2 }'
fi
