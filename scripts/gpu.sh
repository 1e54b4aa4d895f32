#!/bin/sh
# Everything that an hour on a GPU should leave behind, in stages, on a machine that need not have Rust or a network:
#
#   sh scripts/gpu.sh OUT [STAGE...]
#
# Each stage writes files of its own into OUT and is ended after its limit; one that fails does not stop the next.
#
#   devices    the device, its driver and limits
#   check      every kernel's case table, the golden files, training steps in lockstep with the CPU path
#   tests      the tests of the GPU path (HYPERLOOM_TESTS, the binary that `cargo test --no-run` names tests/gpu)
#   bench      all workloads; scaling from 64 to 65,536 tasks
#   profile    each launch of the main workloads beside the device's ceilings
#   compile    what compiling each pipeline takes, the driver's caches off
#   train      the sine family, 10,000 steps
#   peers      JAX and PyTorch beside hyperloom, in turn (see benches/peers); PEERS has more of its arguments
#
# HYPERLOOM names the command (built where not given), HYPERLOOM_DEVICE the device (gpu), PYTHON the interpreter that has
# the peers (python3).
set -u
out=${1:?"usage: sh scripts/gpu.sh OUT [STAGE...]"}
shift
stages=${*:-devices check tests bench profile compile train peers}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."
device=${HYPERLOOM_DEVICE:-gpu}
python=${PYTHON:-python3}
if [ -z "${HYPERLOOM:-}" ]; then
    cargo build --release --quiet || exit 1
    HYPERLOOM=${CARGO_TARGET_DIR:-target}/release/hyperloom
fi
export RUST_LOG=${RUST_LOG:-warn}

# `run SECONDS NAME COMMAND...`: what it prints goes to OUT/NAME, what it complains about to OUT/NAME.log, and one line here.
run() {
    limit=$1 name=$2
    shift 2
    begin=$(date +%s.%N)
    timeout "$limit" "$@" >"$out/$name" 2>"$out/$name.log"
    code=$?
    [ -s "$out/$name.log" ] || rm -f "$out/$name.log"
    [ "$code" = 0 ] && said= || said=" FAILED ($code): $(tail -n 1 "$out/$name.log" 2>/dev/null)"
    echo "$begin $(date +%s.%N) $name$said" | awk '{ s = $2 - $1; $1 = $2 = ""; printf "%7.1f s %s\n", s, $0 }'
}

settings=$(mktemp -d)
trap 'rm -rf "$settings"' EXIT
for method in maml cavia ridge; do
    printf 'task = "sine"\n[adapt]\nmethod = "%s"\n' "$method" >"$settings/$method.toml"
done

for stage in $stages; do
    echo "$stage"
    case $stage in
    devices)
        run 30 devices.json "$HYPERLOOM" devices --json
        command -v nvidia-smi >/dev/null 2>&1 && run 30 nvidia-smi.txt nvidia-smi
        ;;
    check)
        run 120 check.json "$HYPERLOOM" check --device "$device" --golden tests/golden --json
        for method in maml cavia ridge; do
            run 60 "lockstep-$method.txt" "$HYPERLOOM" check --device "$device" --lockstep "$settings/$method.toml"
        done
        ;;
    tests)
        if [ -n "${HYPERLOOM_TESTS:-}" ]; then
            run 180 tests.txt "$HYPERLOOM_TESTS"
        else
            echo "        left out: HYPERLOOM_TESTS names no binary"
        fi
        ;;
    bench)
        run 240 bench.json "$HYPERLOOM" bench --device "$device" --json
        run 120 scaling.json "$HYPERLOOM" bench --device "$device" --workload scaling --json
        ;;
    profile)
        for workload in adapt adapt-64 maml2 amortised generator gemm gemm-batch-64 gemm-batch-16 conv conv-train conv-adapt conv-maml2 gru-adapt \
            lstm-maml2 charlm attention-hyper inr nas-eval; do
            run 60 "profile-$workload.txt" "$HYPERLOOM" profile --device "$device" "$workload"
        done
        run 60 profile-sine-maml.txt "$HYPERLOOM" profile --device "$device" "$settings/maml.toml"
        ;;
    compile)
        for workload in adapt maml2 amortised conv-train; do
            run 60 "compile-$workload.txt" env RUST_LOG=hyperloom=debug __GL_SHADER_DISK_CACHE=0 MESA_SHADER_CACHE_DISABLE=true \
                "$HYPERLOOM" profile --device "$device" "$workload"
        done
        ;;
    train)
        run 120 train.txt "$HYPERLOOM" train --device "$device" --steps 10000 --out "$settings/run"
        cp "$settings/run/report.json" "$out/train-report.json"
        ;;
    peers)
        # Its own limit: what there is is written after every row, so no peer measures all in one process (JAX compiles a minute and more).
        # shellcheck disable=SC2086
        run "${PEERS_LIMIT:-560}" peers.txt "$python" benches/peers/run.py --python "$python" --hyperloom "$HYPERLOOM" \
            --device "$device" --out "$out/peers" ${PEERS:-}
        ;;
    *)
        echo "error: there is no stage '$stage'" >&2
        exit 2
        ;;
    esac
done
