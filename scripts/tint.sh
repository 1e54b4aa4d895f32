#!/bin/sh
# Compiles all WGSL with Tint, the compiler of Dawn and Chrome, beside naga: sh scripts/tint.sh [hyperloom command]
#
# Every kernel with each function and set of constants in use, and every shader of a broad set of training plans, task regions
# among them, for each class of devices. Fails where Tint refuses one, and names shader and line. No GPU is needed.
#
# Needs Node.js 20 or later with npm, by which Dawn's binding (it brings its binary along) is installed in target/tint.
# HYPERLOOM_TINT=off leaves the check out.
set -eu
cd "$(dirname "$0")/.."

# What Tint accepts changes with its version: a new one comes with a change of this line.
dawn=webgpu@0.6.2

if [ "${HYPERLOOM_TINT:-on}" = off ]; then
    echo "Tint: left out, as HYPERLOOM_TINT=off asks"
    exit 0
fi
for tool in node npm; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "error: the check with Tint needs Node.js, and there is no '$tool'. Install Node.js 20 or later, or leave the" \
            "check out: HYPERLOOM_TINT=off" >&2
        exit 1
    fi
done

if [ $# -gt 0 ]; then
    hyperloom=$1
else
    target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    cargo build --quiet --bin hyperloom
    hyperloom=$target/debug/hyperloom
fi

work=target/tint
mkdir -p "$work"
if [ "$(cat "$work/installed" 2>/dev/null)" != "$dawn" ]; then
    rm -f "$work/installed"
    npm install --prefix "$work" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --silent "$dawn"
    echo "$dawn" >"$work/installed"
fi
# Beside the folder of packages, where node looks for them.
cp scripts/tint.mjs "$work/tint.mjs"
rm -rf "$work/plans" "$work/wgsl"
mkdir -p "$work/plans"

# plan NAME TASK METHOD [LINE ...]: the lines stand in the table [model].
plan() {
    name=$1 task=$2 method=$3
    shift 3
    {
        printf 'task = "%s"\n' "$task"
        printf '[adapt]\nmethod = "%s"\n' "$method"
        printf '[model]\n'
        [ $# -eq 0 ] || printf '%s\n' "$@"
        if [ "$task" = csv ]; then
            printf '[csv]\nfile = "examples/growth.csv"\ngroup = "plant"\ntarget = "height"\n'
        fi
    } >"$work/plans/$name.toml"
}
for method in fine-tune maml fomaml reptile anil cavia meta-sgd ridge; do
    plan "sine-$method" sine $method
    plan "growth-$method" csv $method
done
plan shapes-maml shapes maml
plan shapes-ridge shapes ridge
for activation in identity relu leaky_relu tanh sigmoid silu gelu softplus sin; do
    plan "maml-$activation" sine maml "activation = \"$activation\""
done
# Widths that are no multiples of four, and one layer to three.
plan maml-odd sine maml 'target = [13, 7]'
plan maml-1 sine maml 'target = [32]'
plan maml-3 sine maml 'target = [24, 24, 24]'
# Convolutions in regions: pictures of 8 x 8 in ten classes, black ones and grey ones.
{
    printf '\000\000\010\003\000\000\000\170\000\000\000\010\000\000\000\010'
    head -c 3840 /dev/zero
    head -c 3840 /dev/zero | tr '\000' '\310'
} >"$work/images.idx"
{
    printf '\000\000\010\001\000\000\000\170'
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do printf '\000\001\002\003\004\005\006\007\010\011'; done
} >"$work/labels.idx"
# Sequences: loops over symbols in regions.
seq 1 400 >"$work/text.txt"
for net in rnn-8 gru-12 lstm-16 transformer-8; do
    printf 'task = "text"\n[model]\nnet = "%s"\n[text]\nfiles = ["%s"]\nlength = 12\nbatch = 8\n' "$net" "$work/text.txt" \
        >"$work/plans/text-$net.toml"
done
for method in maml ridge; do
    cat >"$work/plans/conv-$method.toml" <<EOF
task = "images"
[adapt]
method = "$method"
[images]
train = "$work/images.idx"
train_labels = "$work/labels.idx"
ways = 2
[eval]
shots = 3
query = 3
[[model.net]]
conv = 6
kernel = 3
[[model.net]]
batch_norm = "batch"
activation = "relu"
[[model.net]]
max_pool = 2
[[model.net]]
flatten = true
EOF
done

plans=$(for p in "$work"/plans/*.toml; do printf -- '--of %s ' "$p"; done)
for workload in amortised maml2 adapt adapt-64 adapt-rows gemm gemm-batch-64 gemm-batch-16; do
    plans="$plans --of $workload"
done

"$hyperloom" kernels --out "$work/wgsl/kernels"
for class in portable desktop datacentre; do
    # shellcheck disable=SC2086 # a list of words
    "$hyperloom" kernels --device-class $class $plans --out "$work/wgsl/$class"
done
failed=0
for name in kernels portable desktop datacentre; do
    case $name in
        kernels | portable) larger= ;;
        *) larger=--larger ;;
    esac
    printf '%s: ' $name
    node "$work/tint.mjs" "$work/wgsl/$name" $larger || failed=1
done
exit $failed
