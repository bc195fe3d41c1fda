#!/usr/bin/env bash
# Installs the outside tools that the tests compare Chancery with. Debian or Ubuntu, as root; elsewhere it says what is missing.
# Without a tool its tests fail by name, so that a missing peer is never taken for agreement.
set -euo pipefail

# openssl, gnutls, nss, curl, python, java: readers of what we issue. postgresql: the second store. xfsprogs, strace: faults.
# python3-cryptography-vectors: NIST PKITS, OCSP and CRL objects. postgresql, mariadb-server: where users are leased.
# pebble: an ACME server and its DNS server. certbot, lego, dehydrated, acme-tiny, caddy: ACME clients. bind9: takes dynamic updates.
packages=(openssl gnutls-bin libnss3-tools curl python3 dumpasn1 postgresql postgresql-contrib mariadb-server strace xfsprogs e2fsprogs faketime util-linux python3-cryptography-vectors
  pebble certbot lego dehydrated acme-tiny caddy bind9)

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "install-test-tools: not a Debian machine or not root; please have these at hand: ${packages[*]} javac zlint" >&2
  exit 0
fi

work=''
made_policy=''
clean_up() {
  if [ -n "$work" ]; then rm -rf "$work"; fi
  if [ -n "$made_policy" ]; then rm -f "$made_policy"; fi
}
trap clean_up EXIT

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
# Any JDK will do, not only the default one: test/interop/cert-paths.java is compiled as it is run.
command -v javac >/dev/null || missing+=(default-jdk-headless)
if [ "${#missing[@]}" -gt 0 ]; then
  # The tests start their own servers on free ports; apt must not start any.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
    made_policy=$policy
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# zlint is packaged from Debian 13 on; its package runs on Debian 12 as well, so only its one file is taken.
if ! command -v zlint >/dev/null; then
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  for source in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -s "$source" ] && sed 's/bookworm-security/trixie-security/g; s/bookworm/trixie/g' "$source" >"$work/$(basename "$source")"
  done
  mkdir -p "$work/parts" && find "$work" -maxdepth 1 \( -name '*.list' -o -name '*.sources' \) -exec mv {} "$work/parts/" \;
  options=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/parts" -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update -qq
  (cd "$work" && apt-get "${options[@]}" download -qq zlint && dpkg-deb -x zlint_*.deb unpacked)
  install -m 0755 "$work/unpacked/usr/bin/zlint" /usr/local/bin/zlint
fi
