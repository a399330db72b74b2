#!/usr/bin/env bash
# Tests need programs that are not Python's or Node's: Chromium and its driver (tests/browser), nginx
# (tests/python/test_nginx.py, test_cli_doctor.py, tests/node/cli.test.js). Checks that they are here;
# where they are not, installs Debian's (as root), or prints the command to run and fails. It never skips.
#
# CHROMIUM and CHROMEDRIVER may name other programs; the tests use what they name.
set -euo pipefail

# Debian has servers where only root looks for programs.
PATH="$PATH:/usr/sbin"
missing=()
command -v "${CHROMIUM:-chromium}" >/dev/null || missing+=(chromium)
command -v "${CHROMEDRIVER:-chromedriver}" >/dev/null || missing+=(chromium-driver)
command -v nginx >/dev/null || missing+=(nginx-light)
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    cat >&2 <<END
The tests need Chromium and ChromeDriver, of the same version, and nginx. Missing: ${missing[*]}.
Install them, and name the former if they are not on the PATH as chromium and chromedriver:
    CHROMIUM=/path/to/chrome CHROMEDRIVER=/path/to/chromedriver make test-browser
END
    exit 1
fi

if [ "$(id -u)" -ne 0 ]; then
    cat >&2 <<END
The tests need programs that are not installed: ${missing[*]}. Run:
    sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}
END
    exit 1
fi

echo "== installing for the tests: ${missing[*]}"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
