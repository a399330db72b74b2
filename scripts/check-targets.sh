#!/usr/bin/env bash
# Compiles everything, tests included, for systems that are not here. Nothing is linked or run.
#
# TARGETS: which. TARGET_FLAGS: what cargo needs beside, such as -Zbuild-std where Rust's standard library for them is
# not to be had.
set -euo pipefail

targets=${TARGETS:-aarch64-apple-darwin x86_64-apple-darwin x86_64-pc-windows-msvc}
flags=${TARGET_FLAGS:-}
stand_in=$(cd "$(dirname "$0")" && pwd)/no-cc.sh
missing=""

has_standard_library() {
    [[ $flags == *build-std* || -d $(rustc --print target-libdir --target "$1") ]]
}

# lint ARGUMENTS...: for the target, where a warning is an error.
lint() {
    # shellcheck disable=SC2086 # Several flags are several words.
    cargo clippy --target "$target" $flags "$@" -- -D warnings
}

for target in $targets; do
    printf '\n===== %s\n\n' "$target"
    if ! has_standard_library "$target"; then
        echo "Rust's standard library for it is missing."
        missing+=" $target"
        continue
    fi
    # Some dependencies have C code, which is not looked at here, unless CC_... names a compiler for that system.
    for tool in CC AR; do
        name=${tool}_${target//-/_}
        export "$name=${!name:-$stand_in}"
    done
    lint -p ssehub --features cli --all-targets
    lint -p ssehub --no-default-features --lib
    lint -p ssehub-python -p ssehub-node
done

if [ -n "$missing" ]; then
    printf '\nNot checked:%s. To add what is missing: rustup target add%s\n' "$missing" "$missing" >&2
    exit 1
fi
