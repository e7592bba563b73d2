#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# html.sh BUILD - the HTML report in headless Chromium; see tests/html/run.py. Needs no root. Exits 77 and
# says so when there is no chromium.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
exec python3 -B "$here/html/run.py" "$(cd "${1:?usage: tests/html.sh BUILD}" && pwd)"
