#!/usr/bin/env bash
# Builds the package and lets it live in a booted Debian: installed, used,
# upgraded and removed with a container running, purged. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."

box=${BOX:-.ci/rig/systemd-box.sh}
[ "$(id -u)" -eq 0 ] || { echo "deb-test: needs root: a Debian is booted in namespaces" >&2; exit 1; }
[ -x "$box" ] || { echo "deb-test: there is no $box" >&2; exit 2; }
command -v dpkg-deb >/dev/null || { echo "deb-test: needs dpkg-deb" >&2; exit 2; }
"$box" build >&2 || { echo "deb-test: the box cannot be built here" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
passed=0 failed=0

# report counts a result, prints it, and on a failure what there is to see.
report() {
	local result=$1 name=$2
	if [ "$result" -eq 0 ]; then
		passed=$((passed + 1))
		echo "PASS  $name"
	else
		failed=$((failed + 1))
		echo "FAIL  $name"
		[ -z "${3:-}" ] || sed 's/^/      /' <<<"$3"
	fi
}

# build makes a package of a version: old is replaced by new later.
build() {
	local output result=0
	output=$(VERSION=$1 .ci/deb.sh "$work/$2" 2>&1) || result=$?
	report $result "build version $1" "$output"
	[ $result -eq 0 ] || finish
	mv "$work/$2"/virtlxcd-go_*.deb "$work/$2.deb"
}

finish() {
	echo "deb-test: $passed passed, $failed failed"
	[ "$failed" -eq 0 ] || exit 1
	exit 0
}

# stub makes an empty package with the files named, in place of one of Debian's.
stub() {
	local name=$1 file
	shift
	for file; do
		install -D -m 0644 /dev/null "$work/stub/$name$file"
		echo "of $name" >"$work/stub/$name$file"
	done
	mkdir -p "$work/stub/$name/DEBIAN"
	printf 'Package: %s\nVersion: 9.0.0-4+deb12u2\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: stub\n' "$name" \
		>"$work/stub/$name/DEBIAN/control"
	(cd "$work/stub/$name" && find etc -type f -printf '/%p\n' 2>/dev/null || true) >"$work/stub/$name/DEBIAN/conffiles"
	dpkg-deb --root-owner-group --build "$work/stub/$name" "$work/$name.deb" >/dev/null
}

# strangers prints files of the package that another package of this host has,
# also by the other name of a directory that was moved below /usr. libvirt's LXC
# driver is replaced as a whole.
strangers() {
	local path
	dpkg-deb --fsys-tarfile "$work/old.deb" | tar -t | grep -v '/$' | sed 's,^\.,,' | while read -r path; do
		dpkg -S "$path" "${path#/usr}" 2>/dev/null | grep -v -e '^libvirt-daemon-driver-lxc:' -e '^virtlxcd-go:' || true
	done
}

build 0.0.1 old
again=$(sha256sum <"$work/old.deb")
build 0.0.1 again
report "$([ "$again" = "$(sha256sum <"$work/again.deb")" ]; echo $?)" "the same tree gives the same bytes"
build 0.0.2 new
if dpkg -s libvirt-daemon-system >/dev/null 2>&1; then
	found=$(strangers)
	report "$([ -z "$found" ]; echo $?)" "no file is another package's" "$found"
else
	echo "NOTE  libvirt-daemon-system is not installed here: files were not compared with it"
fi

stub libvirt-daemon-driver-lxc /usr/lib/libvirt/libvirt_lxc
stub libvirt-daemon-system /etc/libvirt/lxc.conf /etc/logrotate.d/libvirtd.lxc /lib/systemd/system/virt-guest-shutdown.target \
	/usr/share/polkit-1/actions/org.libvirt.unix.policy.txt

result=0
"$box" run -g hybrid -t 240 ${DEB_TEST_JOURNAL:+-j} -c "$work/old.deb:/root/old.deb" -c "$work/new.deb:/root/new.deb" \
	-c "$work/libvirt-daemon-driver-lxc.deb:/root/driver.deb" -c "$work/libvirt-daemon-system.deb:/root/system.deb" \
	-c .ci/deb/inside.sh:/root/inside.sh 'bash /root/inside.sh' >"$work/result" </dev/null || result=$?
cat "$work/result"
passed=$((passed + $(grep -c '^PASS' "$work/result" || true)))
failed=$((failed + $(grep -c '^FAIL' "$work/result" || true)))
grep -qx 'inside: done' "$work/result" || report 1 "the script in the box ran to its end (status $result)"
finish
