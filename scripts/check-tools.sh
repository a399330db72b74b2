#!/usr/bin/env bash
# Checks that Rust, Python and Node are here and new enough, and says what is missing.
set -euo pipefail

python=${PYTHON:-python3}
missing=0

# need NAME OLDEST FOUND REMEDY: complains unless FOUND is a version, and not older than OLDEST.
need() {
    if [ -z "$3" ]; then
        echo "$1 is missing: ssehub needs $2 or newer. $4" >&2
        missing=1
    elif ! printf '%s\n' "$2" "$3" | sort -V -C; then
        echo "$1 $3 is too old: ssehub needs $2 or newer. $4" >&2
        missing=1
    fi
}

# version COMMAND...: the first thing in its output that looks like a version, or nothing.
version() {
    { "$@" 2>/dev/null || true; } | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1 || true
}

need Rust 1.88 "$(version cargo --version)" "Get it from https://rustup.rs"
need Python 3.10 "$(version "$python" --version)" "To use another one: make PYTHON=python3.12"
need Node 20.19 "$(version node --version)" "Get it from https://nodejs.org"
need npm 9 "$(version npm --version)" "It comes with Node."

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Python cannot create virtual environments. On Debian: apt-get install python3-venv" >&2
    missing=1
fi

exit "$missing"
