#!/usr/bin/env bash
# Installs Chromium from Debian's packages where there is none: with apt as root or with sudo, else unpacked into .venv.
# It never fails: without Chromium the tests of the page are skipped, and say so.
set -uo pipefail
unpacked="$(cd "$(dirname "$0")/../.." && pwd -P)/.venv/chromium"

for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
[ -x "$unpacked/usr/lib/chromium/chromium" ] && exit 0
if ! command -v apt-get >/dev/null; then
  echo "Chromium cannot be installed here, because there is no apt-get: the tests of the page are skipped."
  exit 0
fi

install() { "$@" apt-get install -y -q --no-install-recommends chromium; }
update() { "$@" apt-get update -q; }
with_apt() { install "$@" || { update "$@" && install "$@"; }; }

# The packages that apt would install, unpacked without their scripts: enough for a browser without a window.
unpack() {
  local packages
  packages="$(apt-get install -s --no-install-recommends chromium | awk '/^Inst / { print $2 }')"
  [ -n "$packages" ] && mkdir -p "$unpacked/packages" && cd "$unpacked/packages" || return 1
  # shellcheck disable=SC2086 # one word a package
  apt-get download -q $packages || return 1
  local package
  for package in *.deb; do dpkg -x "$package" "$unpacked" || return 1; done
  rm -rf "$unpacked/packages"
}

echo "installing Chromium for the tests of the page ..."
if [ "$(id -u)" = 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  with_apt env
elif sudo -n true 2>/dev/null; then
  with_apt sudo -n DEBIAN_FRONTEND=noninteractive
else
  unpack
fi >"${TMPDIR:-/tmp}/install-chromium.$$.log" 2>&1 \
  || echo "Chromium could not be installed (${TMPDIR:-/tmp}/install-chromium.$$.log): the tests of the page are skipped."
exit 0
