# For scripts that train many runs into one folder: sourced in the project's folder, with $out set. Builds the command, names it
# $bin/hyperloom, and defines `train NAME SEED ARGUMENTS...`, which leaves finished runs as they are.
device=${HYPERLOOM_DEVICE:-$default_device}
cargo build --release --quiet --bin hyperloom --example results_table
bin=${CARGO_TARGET_DIR:-target}/release

train() {
    folder=$out/$1-$2
    seed=$2
    shift 2
    if [ -f "$folder/report.json" ]; then
        return
    fi
    rm -rf "$folder" # what an interrupted run left
    echo "$folder" >&2
    "$bin/hyperloom" train --device "$device" --seed "$seed" --out "$folder" "$@" >/dev/null
}
