#!/usr/bin/env bash
# Shows the daemon at work, as root, below a directory of its own that is removed
# in the end: files, sockets, control groups and logs of the host are not touched,
# and the container has a network of its own with nothing but a loopback.
#
#   .ci/demo.sh          runs through and leaves; fails if anything fails or stays behind
#   .ci/demo.sh --stay   keeps daemon and container running until Ctrl-C
set -euo pipefail
cd "$(dirname "$0")/.."

stay=false
[ "${1:-}" != --stay ] || stay=true

die() {
	echo "demo: $*" >&2
	exit 1
}

# --- around the show: what it needs, and what is done however it ends

# outer makes the directory, runs the show and cleans up behind it. Without
# --stay the show has process numbers and mounts of its own, so that not even a
# crash can leave a process, and orphans are reaped whatever the host's process 1 is.
outer() {
	[ "$(id -u)" -eq 0 ] || die "needs root: namespaces, mounts and control groups are made"
	.ci/packages.sh virsh busybox script setsid unshare
	busybox --list >/dev/null 2>&1 || die "busybox does not work"
	prefix=$(mktemp -d /tmp/vlx-XXXXXX) # short: socket addresses are (unix(7))
	chmod 755 "$prefix"
	trap clean EXIT
	trap 'exit 130' INT TERM HUP
	local result=0
	if $stay; then
		inner || result=$?
	else
		unshare --pid --mount --fork --mount-proc --kill-child=KILL "$0" --inside "$prefix" || result=$?
	fi
	exit "$result"
}

# groups lists the directories of the daemon's control groups, innermost first.
# The name is the one the daemon makes of its prefix.
groups() {
	local name
	name=vlx-$(printf %s "$prefix" | sha256sum | cut -c1-8)
	find /sys/fs/cgroup -depth -type d \( -name "$name" -o -path "*/$name/*" \) 2>/dev/null || true
}

# clean ends what is in the daemon's control groups, nothing else, and removes
# groups and files. After a run without errors only files are left to remove.
clean() {
	trap '' INT TERM HUP
	[ -z "${daemon:-}" ] || stop
	local pids try
	for try in $(seq 50); do
		pids=$(groups | while read -r dir; do cat "$dir/cgroup.procs" 2>/dev/null || true; done | sort -u)
		[ -n "$pids" ] || break
		# shellcheck disable=SC2086
		kill -KILL $pids 2>/dev/null || true
		sleep 0.1
	done
	groups | while read -r dir; do rmdir "$dir" 2>/dev/null || true; done
	rm -rf --one-file-system "$prefix"
}

# --- the show

# start starts the daemon in a session of its own, where Ctrl-C does not reach it.
start() {
	setsid bin/virtlxcd --prefix "$prefix" --verbose 2>>"$prefix/daemon.log" &
	daemon=$!
	local try
	for try in $(seq 200); do
		kill -0 "$daemon" 2>/dev/null || die "the daemon ended"
		command virsh -q -c "$uri" uri >/dev/null 2>&1 && return
		sleep 0.05
	done
	die "the daemon does not answer"
}

stop() {
	kill "$daemon" 2>/dev/null || true
	wait "$daemon" || true
	daemon=
}

say() { printf '\n# %s\n' "$*"; }

# virsh shows a command and runs it.
virsh() {
	printf '\n$ virsh %s\n' "$*"
	command virsh -c "$uri" "$@" 2>&1 | sed '/^$/d'
}

root() {
	mkdir -p "$prefix/root/bin"
	cp "$(command -v busybox)" "$prefix/root/bin/busybox"
	local applet
	for applet in sh ls ps cat id ip mount hostname; do
		ln -sf busybox "$prefix/root/bin/$applet"
	done
}

# definition prints a container with an init.
definition() {
	cat <<-XML
		<domain type='lxc'>
		  <name>$1</name>
		  <memory unit='MiB'>64</memory>
		  <os>
		    <type>exe</type>
		    <init>$2</init>
		  </os>
		  <features><privnet/></features>
		  <devices>
		    <filesystem type='mount'>
		      <source dir='$prefix/root'/>
		      <target dir='/'/>
		    </filesystem>
		    <console type='pty'/>
		  </devices>
		</domain>
	XML
}

boot() {
	printf '\n$ cat demo.xml\n'
	definition demo /bin/sh | tee "$prefix/demo.xml"
	virsh define "$prefix/demo.xml"
	virsh -t start demo
	virsh list --all
	virsh dominfo demo
}

# console types a command into the container's console and leaves once its
# result is there. It talks to virsh through a terminal, which virsh wants; what
# is typed before virsh has that ready is lost, so it is typed again.
console() {
	local typed=$1 result=$2 line part='' got typings=1
	printf '\n$ virsh console demo\n'
	coproc timeout 60 script -qec "virsh -c '$uri' console demo" /dev/null 2>&1
	local from=${COPROC[0]} to=${COPROC[1]} pid=$COPROC_PID
	printf '%s\n' "$typed" >&"$to"
	while true; do
		got=0
		IFS= read -r -t 2 line <&"$from" || got=$?
		part+=$line
		if [ $got -gt 128 ]; then # nothing for a while
			[ $((typings++)) -lt 10 ] || break
			printf '%s\n' "$typed" >&"$to" || break
			continue
		fi
		show "$part"
		[ $got -eq 0 ] || break
		if [[ $part == *"$result"* ]]; then
			printf '\x1d' >&"$to" # Ctrl-]
			wait "$pid" || true
			return
		fi
		part=
	done
	kill "$pid" 2>/dev/null || true
	die "the console did not answer '$typed'"
}

# show prints a line of a console without what only a terminal understands.
show() {
	local line=${1//$'\r'/}
	case $line in
	"Authorization not available."* | "") ;; # virsh, where there is no polkit
	*) printf '%s\n' "${line//$'\e[6n'/}" ;;
	esac
}

survive() {
	local before after
	say "the daemon is killed; a new one finds the container as it was"
	before=$(command virsh -q -c "$uri" domid demo)
	printf '\n$ kill -KILL %s; virtlxcd &\n' '$(cat run/virtlxcd.pid)'
	kill -KILL "$daemon"
	wait "$daemon" 2>/dev/null || true
	start
	virsh list
	after=$(command virsh -q -c "$uri" domid demo)
	[ "$before" = "$after" ] || die "the container was $before and is $after"
	console 'echo still $((40 + 2)), process $$' 'still 42, process 1'
}

complain() {
	say "a start that fails says what failed"
	definition broken /bin/missing >"$prefix/broken.xml"
	virsh define "$prefix/broken.xml"
	! virsh start broken || die "a container without a program started"
	virsh undefine broken
}

# nothing says what is left of the daemon once it has been stopped.
nothing() {
	local left try process
	for try in $(seq 100); do
		left=$(
			groups
			grep -F "$prefix" /proc/self/mountinfo || true
			for process in /proc/[0-9]*; do # of this show alone: see outer
				case ${process#/proc/} in
				$$ | "$BASHPID") ;;
				*) read -r process 2>/dev/null <"$process/stat" && echo "process $process" ;;
				esac
			done
		)
		[ -n "$left" ] || return 0
		sleep 0.05
	done
	die "left behind: $left"
}

# inner is the show.
inner() {
	uri="lxc:///system?socket=$prefix/run/libvirt/virtlxcd-sock"
	root
	start
	boot
	if $stay; then
		wait_for_user
		return
	fi
	console 'echo the answer is $((6 * 7))' 'the answer is 42'
	survive
	complain
	say "the end"
	virsh -t destroy demo
	virsh undefine demo
	virsh list --all
	stop
	nothing
	printf '\ndemo: ok, nothing left behind\n'
}

wait_for_user() {
	cat <<-TEXT

		The container runs. In another terminal, as root:

		    export LIBVIRT_DEFAULT_URI='$uri'
		    virsh list --all
		    virsh console demo                        # leave with Ctrl-]
		    virsh dumpxml demo
		    virsh lxc-enter-namespace demo --noseclabel /bin/ps
		    virsh suspend demo; virsh resume demo
		    virsh destroy demo; virsh start demo
		    virsh event --all --loop                  # and then one of the above

		Files are in $prefix, the daemon's log is $prefix/daemon.log.
		Ctrl-C ends daemon and container and removes everything.
	TEXT
	trap 'echo; leave; exit 0' INT TERM HUP
	wait "$daemon" || true
	daemon=
	die "the daemon ended"
}

# leave stops what runs; clean does the rest.
leave() {
	trap '' INT TERM HUP
	command virsh -q -c "$uri" destroy demo 2>/dev/null || true
	stop
}

# report shows the daemon's log when the show fails.
report() {
	local result=$?
	if [ $result -ne 0 ] && [ $result -ne 130 ]; then
		printf '\n--- the daemon'"'"'s log\n' >&2
		cat "$prefix/daemon.log" >&2 || true
		tail -n 20 "$prefix"/var/log/libvirt/lxc/*.log >&2 2>/dev/null || true
	fi
	return $result
}

if [ "${1:-}" = --inside ]; then
	prefix=$2
	trap report EXIT
	trap 'exit 130' INT TERM HUP
	inner
else
	outer
fi
