#!/bin/sh
# Builds hyperloom and runs all its tests: sh scripts/test.sh
#
# The GPU tests need a Vulkan driver on Linux. Where none is found, a software one (Mesa's lavapipe) is
# installed through apt-get; other systems are told what to install. HYPERLOOM_GPU=auto runs the GPU tests
# only where there is an adapter, HYPERLOOM_GPU=off never; nothing is installed then.
set -eu
cd "$(dirname "$0")/.."

# What the tests themselves would see: a driver's files may be there without a device that they fit. The command is
# the one built beside the tests; `cargo run` would build it, and wgpu, again without the tests' dependencies.
has_adapter() {
    found=$("$target/debug/hyperloom" devices --json) || exit 1
    case $(printf %s "$found" | tr -d ' \n') in
        *'"adapters":[]'*) return 1 ;;
        *) return 0 ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null 2>&1; then
        echo "error: this needs root, and there is no sudo: $*" >&2
        exit 1
    elif [ "${CI:-}" = true ]; then
        sudo -n "$@" # never ask for a password
    else
        sudo "$@"
    fi
}

install_driver() {
    if ! command -v apt-get >/dev/null 2>&1; then
        cat >&2 <<'END'
error: there is no Vulkan adapter. Install a software driver and run this again:
  Fedora   mesa-vulkan-drivers
  Arch     vulkan-swrast
  Alpine   mesa-vulkan-swrast
or leave the GPU tests out: HYPERLOOM_GPU=off sh scripts/test.sh
END
        exit 1
    fi
    echo "no Vulkan adapter: installing a software one (mesa-vulkan-drivers)"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers >/dev/null
}

cargo test --workspace --no-run
if [ "$(uname -s)" = Linux ] && [ "${HYPERLOOM_GPU:-require}" = require ]; then
    target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    if ! has_adapter; then
        install_driver
        if ! has_adapter; then
            echo "error: the driver is installed, and there is still no Vulkan adapter" >&2
            exit 1
        fi
    fi
    export HYPERLOOM_GPU=require
fi

# Unit tests, tests/, examples (built), the code of README and documentation, and the C library under programs in C.
cargo test --workspace
# The library without GPU and command.
cargo check --no-default-features
