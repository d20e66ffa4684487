# What the scripts in the machine share. A check is a function that ends with its
# first command that fails; the others go on.
. /share/scripts/box/lib.sh
set +eE
trap - ERR
unset -f failed

limit=120 # seconds a check may take

# check WHAT COMMAND... adds a line about it to the results; after a failure what
# was printed and the end of the journal, and who waited for what if it hung.
check() {
	local what=$1 begin=$SECONDS output job watch status
	output=$(mktemp)
	shift
	set -m # a group of its own, to be ended as a whole
	attempt "$@" >"$output" 2>&1 </dev/null &
	job=$!
	set +m
	{ sleep $limit && hung "$job"; } >"$output.hung" 2>&1 &
	watch=$!
	wait $job
	status=$?
	if [ -s "$output.hung" ]; then wait $watch; else kill $watch; fi
	if [ $status -eq 0 ]; then
		echo "ok    $what ($((SECONDS - begin)) s)"
	else
		echo "FAIL  $what"
		{
			head -c 4000 "$output"
			journalctl -b --no-pager -o short-monotonic -n 15 -u virtlxcd.service
			cat "$output.hung"
		} | sed 's/^/      /'
	fi >>/share/results
	rm -f "$output" "$output.hung"
}

attempt() {
	set -eE
	trap 'echo "in line $LINENO: $BASH_COMMAND" >&2' ERR
	"$@"
}

# hung GROUP shows what everyone waits for, and what each of the daemon's goroutines
# does, which ends it; then it ends the group.
hung() {
	echo "still running after $limit s:"
	ps --ppid 2 -p 2 --deselect -o pid,ppid,stat,wchan:24,etimes,args
	systemctl list-jobs --no-pager
	pkill -ABRT -x virtlxcd
	sleep 2
	journalctl -b --no-pager -o cat -n 400 -u virtlxcd.service
	kill -KILL -- "-$1"
}

# finished says that a script came to its end.
finished() {
	echo "$1: finished" >>/share/results
	sync /share/results
}

same() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }

# holds FILE TEXT: the file has exactly that one line.
holds() { same "$(cat "$1")" "$2"; }

# group NAME [CONTROLLER] prints the directory of a container's control group.
group() {
	local init place
	init=$(init_of "$1")
	place=$(awk -F: -v c="${2:-}" 'c == "" && $1 == 0 || c != "" && ("," $2 ",") ~ ("," c ",") {print $3}' "/proc/$init/cgroup")
	[ -n "$place" ] || { echo "$1 has no group"; return 1; }
	echo "/sys/fs/cgroup${2:+/$2}$place"
}

# nothing_left NAME...: no group and no machine has such a name.
nothing_left() {
	local name left
	for name; do
		within 10 absent machine_listed "$name"
		within 10 groupless "$name"
	done
}
machine_listed() { machinectl list --no-legend | grep -q -- "-$1 "; }
groupless() {
	local left
	left=$(find /sys/fs/cgroup -type d -name "*$1*")
	[ -z "$left" ] || { echo "left: $left"; return 1; }
}

id_mapped() {
	local init
	init=$(init_of mapped)
	expect '^ *0 +100000 +65536$' cat "/proc/$init/uid_map"
	expect '^ *0 +100000 +65536$' cat "/proc/$init/gid_map"
	expect '^Uid:.100000.100000.100000.100000$' cat "/proc/$init/status"
}

go_test() {
	local output
	output=$(cd /tmp && VIRTLXCD_TEST_SYSTEMD=1 timeout 100 "/share/tests/$1.test" -test.v -test.run Box 2>&1) || {
		echo "$output"
		return 1
	}
	grep -q -- '^--- PASS: TestBox' <<<"$output" || { echo "none ran: $output"; return 1; }
	if grep -- '^--- SKIP: Test' <<<"$output"; then return 1; fi
}
