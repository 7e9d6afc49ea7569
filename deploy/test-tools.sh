#!/usr/bin/env bash
# Installs from Debian's packages the programs named that are not there yet: what the tests start beside Python.
# A program whose package has another name is written PROGRAM:PACKAGE.
set -euo pipefail

missing=()
for program in "$@"; do
  command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

become_root=()
if [ "$(id -u)" -ne 0 ]; then become_root=(sudo -n); fi
if ! command -v apt-get >/dev/null || ! "${become_root[@]}" true 2>/dev/null; then
  echo "The tests need ${missing[*]}: install them with your package manager, then try again." >&2
  exit 1
fi

echo "Installing ${missing[*]}"
"${become_root[@]}" apt-get update -qq
"${become_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null
