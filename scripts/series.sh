#!/bin/sh
# Series whose exact Bayesian forecast is known: sh scripts/series.sh OUT
#
# Trains on 600 series of a family (second-order autoregressions, damped oscillators), forecasts the next value of 1,000 others of which 5, 10
# or 20 points are known, and holds the error against the exact answer's. HYPERLOOM names the command (not given: it is built), PYTHON a Python
# with numpy, DEVICE where it computes.
set -eu
cd "$(dirname "$0")/.."
out=$1
python=${PYTHON:-python3}
device=${DEVICE:-cpu}
if [ -z "${HYPERLOOM:-}" ]; then
    cargo build --release --quiet --bin hyperloom
    HYPERLOOM=target/release/hyperloom
fi
for family in ar2 oscillators; do
    here=$out/$family
    mkdir -p "$here"
    "$python" scripts/series.py make $family "$here"
    if [ ! -e "$here/run/report.json" ]; then
        rm -rf "$here/run"
        "$HYPERLOOM" train --csv "$here/train.csv" --group series --time t --target y --shots 20 --device "$device" --out "$here/run" \
            >"$here/run.log" 2>&1
    fi
    for n in 5 10 20; do
        rm -f "$here/predicted-$n.csv"
        "$HYPERLOOM" predict "$here/run" --support "$here/known-$n.csv" --query "$here/next-$n.csv" --device "$device" \
            --out "$here/predicted-$n.csv"
    done
    "$python" scripts/series.py judge $family "$here" | tee "$here/result.json"
done
