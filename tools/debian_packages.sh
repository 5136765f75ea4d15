#!/usr/bin/env bash
# Installs Debian packages that are missing: debian_packages.sh NAME:PATH-IT-PROVIDES ...
set -euo pipefail
missing=()
for item in "$@"; do
  [ -e "${item#*:}" ] || missing+=("${item%%:*}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ]; then as_root=(); elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo -n)
else echo "Missing Debian packages, and no root to install them: apt-get install ${missing[*]}" >&2; exit 1; fi
echo "Installing ${missing[*]} ..."
"${as_root[@]}" apt-get update -qq
# Debian starts what it installs; tests start their own.
printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
"${as_root[@]}" chmod +x /usr/sbin/policy-rc.d
trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
