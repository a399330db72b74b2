#!/usr/bin/env bash
# The browser tests need Chromium and its driver. Checks that both are here; where they are not,
# installs Debian's (as root), or prints the command to run and fails. It never skips.
#
# CHROMIUM and CHROMEDRIVER may name other programs; the tests use what they name.
set -euo pipefail

missing=()
command -v "${CHROMIUM:-chromium}" >/dev/null || missing+=(chromium)
command -v "${CHROMEDRIVER:-chromedriver}" >/dev/null || missing+=(chromium-driver)
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    cat >&2 <<END
The browser tests need Chromium and ChromeDriver, of the same version. Missing: ${missing[*]}.
Install them, and name them if they are not on the PATH as chromium and chromedriver:
    CHROMIUM=/path/to/chrome CHROMEDRIVER=/path/to/chromedriver make test-browser
END
    exit 1
fi

if [ "$(id -u)" -ne 0 ]; then
    cat >&2 <<END
The browser tests need programs that are not installed: ${missing[*]}. Run:
    sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}
END
    exit 1
fi

echo "== installing for the browser tests: ${missing[*]}"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
