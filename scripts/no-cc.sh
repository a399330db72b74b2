#!/usr/bin/env bash
# Stands in for a C compiler, and for what makes libraries, where nothing is linked: see check-targets.sh.
set -euo pipefail

# For Windows the library is copied once it is made.
for argument in "$@"; do
    case $argument in
        -out:* | /out:*) : >"${argument#*:}" ;;
    esac
done
