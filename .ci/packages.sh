#!/usr/bin/env bash
# Makes sure that the programs named as arguments are there: as root on Debian
# it installs what is missing, else it says what to install.
#
#   .ci/packages.sh virsh busybox ...
set -euo pipefail

# package names the Debian package of a program.
package() {
	case $1 in
	virsh | virt-admin) echo libvirt-clients ;;
	python3-libvirt) echo python3-libvirt ;;
	busybox) echo busybox-static ;;
	ip | ss) echo iproute2 ;;
	groff) echo groff-base ;;
	gcc) echo gcc libc6-dev ;;
	script) echo bsdutils ;;
	setsid | unshare | nsenter | setpriv) echo util-linux ;;
	ps | pkill) echo procps ;;
	qemu-system-x86_64) echo qemu-system-x86 ;;
	qemu-img) echo qemu-utils ;;
	*) echo "$1" ;;
	esac
}

present() {
	case $1 in
	python3-libvirt) /usr/bin/python3 -c 'import libvirt' 2>/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

if ! present go; then
	echo "go is missing: install Go 1.26 or newer, https://go.dev/dl/ (Debian 12 has an older one)" >&2
	exit 1
fi

missing=()
for program in "$@"; do
	present "$program" || missing+=($(package "$program"))
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
	echo "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null 2>&1 || {
		apt-get update -qq
		apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null
	}
	exit 0
fi
echo "missing; install: ${missing[*]}" >&2
exit 1
