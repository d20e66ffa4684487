#!/usr/bin/env bash
# The daemon as it is installed, in a virtual machine with a kernel and a systemd
# of its own (.ci/rig/vm.sh): control groups of version 2 with all controllers,
# the end of the host with containers running, autostart, and version 1. Three
# boots of one disk, one after the other. Needs root.
#
#   .ci/vm-test.sh        one line for each check; status 1 if one failed, 2 if
#                         nothing could be tried
set -euo pipefail
cd "$(dirname "$0")/.."

unable() { echo "vm-test: $*" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || unable "needs root: the machine's disk is made with it"
[ "$(uname -m)" = x86_64 ] || unable "needs an x86_64: the machine emulated is one"
.ci/packages.sh qemu-system-x86_64 qemu-img pkill || unable "needs qemu-system-x86_64, qemu-img and pkill (Debian: qemu-system-x86, qemu-utils, procps)"

work=$(mktemp -d /var/tmp/vlxvm.XXXXXX)
share=$work/share
machine=
failures=0
mkdir -p "$share/tree" "$share/tests" "$share/scripts/box"

# The machine is a session of its own, which ends as a whole.
tidy() {
	if [ -n "$machine" ]; then
		pkill -KILL -s "$machine" || true
		wait 2>/dev/null || true
	fi
	rm -rf --one-file-system "$work"
}
trap tidy EXIT
trap 'exit 130' INT TERM

fail() { echo "FAIL  $1"; failures=$((failures + 1)); }

build() {
	make --no-print-directory build && make --no-print-directory install DESTDIR="$share/tree" || return 1
	local package
	for package in dbus/machines dbus/login linux/cgroup; do
		CGO_ENABLED=0 go test -c -o "$share/tests/${package##*/}.test" "./adapters/$package" || return 1
	done
	cp .ci/vm/*.sh "$share/scripts/"
	cp wiring/box/testdata/lib.sh "$share/scripts/box/"
}

# boot SCRIPT LAYOUT boots the disk, runs the script and shows results as they come.
boot() {
	local begin=$SECONDS
	: >"$share/results"
	TMPDIR=$work VM_STATE=$work/disk.qcow2 setsid .ci/rig/vm.sh run -v -p -g "$2" -t 400 -d "$share" \
		"bash /share/scripts/$1.sh" >"$work/log" 2>&1 </dev/null &
	machine=$!
	tail -q -n +1 -s 0.5 --pid="$machine" -f "$share/results" &
	# The status is of no use: a machine that was shut down leaves none.
	wait "$machine" || true
	machine=
	wait
	failures=$((failures + $(grep -c '^FAIL' "$share/results" || true)))
	if ! grep -qx "$1: finished" "$share/results"; then
		fail "$1.sh did not come to its end"
		tail -n 60 "$work/log" | sed 's/^/      /'
	fi
	echo "      $1, $2: $((SECONDS - begin)) s"
}

begin=$SECONDS
build >"$work/log" 2>&1 || { cat "$work/log"; fail build; exit 1; }
.ci/rig/vm.sh build >"$work/log" 2>&1 || { cat "$work/log"; unable "the machine could not be made"; }
echo "      build: $((SECONDS - begin)) s"
boot first v2
boot second v2
boot third v1
echo "vm-test: $failures failed, $((SECONDS - begin)) s"
[ "$failures" -eq 0 ]
