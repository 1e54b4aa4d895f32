#!/bin/sh
# Builds the C library and installs it with its header and pkg-config file: sh capi/install.sh PREFIX [FOLDER]
#
# FOLDER: where the library was built already. HYPERLOOM_FEATURES=cpu leaves the GPU out: the CPU path is the only device then, and the library smaller.
set -eu
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "sh capi/install.sh PREFIX [FOLDER]" >&2
    exit 2
fi
mkdir -p "$1/lib/pkgconfig" "$1/include"
prefix=$(cd "$1" && pwd)
built=${2:+$(cd "$2" && pwd)}
cd "$(dirname "$0")"
if [ -z "$built" ]; then
    case ${HYPERLOOM_FEATURES:-gpu} in
        gpu) cargo build --release ;;
        cpu) cargo build --release --no-default-features ;;
        *) echo "error: HYPERLOOM_FEATURES is gpu or cpu" >&2 && exit 2 ;;
    esac
    built=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
for library in libhyperloom_c.so libhyperloom_c.dylib libhyperloom_c.a hyperloom_c.dll hyperloom_c.dll.lib; do
    if [ -f "$built/$library" ]; then cp "$built/$library" "$prefix/lib/"; fi
done
cp include/hyperloom.h "$prefix/include/"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" hyperloom_c.pc.in >"$prefix/lib/pkgconfig/hyperloom_c.pc"
echo "$prefix/lib/pkgconfig/hyperloom_c.pc: cc program.c \$(pkg-config --cflags --libs hyperloom_c)"
