# Helpers of the scripts. Every failing command ends a script, with the journal.
set -eE -o pipefail
export LC_ALL=C LIBVIRT_DEFAULT_URI=lxc:///system
failed() {
	echo "FAILED in line $1: $2"
	journalctl --no-pager -o short-monotonic -n 60 -u virtlxcd.service -u virtlxcd.socket -t virtlxcd -t systemd || true
	exit 1
}
trap 'failed "$LINENO" "$BASH_COMMAND"' ERR

# expect TEXT COMMAND...: the command succeeds and prints TEXT (a pattern of grep -E).
expect() {
	local text=$1 out
	shift
	out=$("$@" 2>&1) || { echo "failed: $*: $out"; return 1; }
	grep -qE -- "$text" <<<"$out" || { echo "'$*' printed '${out:0:2000}', not '$text'"; return 1; }
}

# refuse TEXT COMMAND...: the command fails and prints TEXT.
refuse() {
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then echo "succeeded: $*: $out"; return 1; fi
	grep -qE -- "$text" <<<"$out" || { echo "'$*' printed '${out:0:2000}', not '$text'"; return 1; }
}

# absent COMMAND...: the command fails, whatever it prints.
absent() { if "$@" >/dev/null 2>&1; then echo "succeeded: $*"; return 1; fi; }

# within SECONDS COMMAND...: the command succeeds at last.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "not in time: $*"; "$@" || true; return 1; }
		sleep 0.1
	done
}

# guest NAME [SHELL-LINE [DEVICES]] writes /tmp/NAME.xml: a container with a root of
# its own, whose init is a shell line, or just sleeps.
guest() {
	local name=$1
	mkdir -p "/srv/$name/bin" "/srv/$name/proc" "/srv/$name/sys" "/srv/$name/dev" "/srv/$name/tmp"
	cp /bin/busybox "/srv/$name/bin/"
	for tool in sh sleep cat trap kill echo; do ln -sf busybox "/srv/$name/bin/$tool"; done
	local line=${2//&/&amp;}
	line=${line//</&lt;}
	local tags="<init>/bin/sleep</init><initarg>100000</initarg>"
	[ -z "${2:-}" ] || tags="<init>/bin/sh</init><initarg>-c</initarg><initarg>$line</initarg>"
	cat >"/tmp/$name.xml" <<XML
<domain type='lxc'><name>$name</name><memory unit='MiB'>64</memory>
<os><type>exe</type>$tags</os>
<devices><filesystem><source dir='/srv/$name'/><target dir='/'/></filesystem>${3:-}<console type='pty'/></devices></domain>
XML
}

# init_of NAME prints the process number of a container's init.
init_of() { machinectl show -p Leader --value "$(machine_of "$1")"; }
machine_of() { machinectl list --no-legend | awk -v n="-$1\$" '$1 ~ n {print $1}'; }
