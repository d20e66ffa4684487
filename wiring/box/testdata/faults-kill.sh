# before: printf '[Service]\nRestartSec=50ms\n' >/tmp/often.conf && install -D /tmp/often.conf /etc/systemd/system/virtlxcd.service.d/often.conf
# A daemon that dies at any moment leaves containers that run, or nothing of them.
sed -i 's/^#log_level.*/log_level = 3/' /etc/libvirt/virtlxcd.conf
systemctl start virtlxcd.socket
ip link add br0 type bridge
for name in a b c; do guest $name; virsh -q define /tmp/$name.xml; done
for name in x y z; do
	guest $name '' "<interface type='bridge'><source bridge='br0'/></interface>"
	virsh -q define /tmp/$name.xml
done
all="a b c x y z"
pid_of() { systemctl show -p MainPID --value virtlxcd.service; }
living() { local pid; pid=$(pid_of); [ "$pid" != 0 ] && [ "$pid" != "${1:-0}" ]; }

echo "killed while containers start and stop"
touch /tmp/go
churn() {
	while [ -e /tmp/go ]; do
		virsh -q start "$1" || true
		virsh -q destroy "$1" || true
	done >/dev/null 2>&1
}
for name in $all; do churn $name & done
RANDOM=4711
for i in $(seq 30); do
	within 10 living "${old:-0}"
	old=$(pid_of)
	sleep "0.$(printf %03d $((RANDOM % 150)))" # the moment is the point
	kill -KILL "$old"
done
within 10 living "$old"
rm /tmp/go
wait
expect "NRestarts=3[0-9]" systemctl show -p NRestarts virtlxcd.service
virsh list --all >/tmp/list
for name in $all; do
	case $(virsh domstate $name) in
	running*)
		init=$(init_of "$name")
		[ -e "/proc/$init" ] || { echo "no init of $name"; false; } ;;
	"shut off"*) [ -z "$(machine_of $name)" ] || { echo "$name is off and has a machine"; false; } ;;
	*) cat /tmp/list; false ;;
	esac
done

echo "every one still starts and stops"
for name in $all; do
	virsh -q destroy $name 2>/dev/null || true
	virsh -q start $name
	within 5 test -e "/proc/$(init_of $name)"
	virsh -q destroy $name
done
nothing() { local left; left=$("$@" || true); [ -z "$left" ] || { echo "left: $left"; return 1; }; }
within 10 nothing systemctl list-units --no-legend --all 'machine-lxc*'
within 10 nothing machinectl list --no-legend
within 10 nothing find /sys/fs/cgroup -type d '(' -name 'machine-lxc*' -o -name 'lxc-[0-9]*' ')'
within 10 nothing ip -br link show master br0
within 10 nothing find /run/libvirt/lxc -maxdepth 1 -name '*.xml'
nothing pgrep -x sleep

echo "stopped while a container starts"
guest slow
virsh -q define /tmp/slow.xml
mkdir -p /etc/libvirt/hooks
cat >/etc/libvirt/hooks/lxc <<'HOOK'
#!/bin/sh
cat >/dev/null
[ "$1 $2" != "slow prepare" ] || { touch /tmp/waiting; while [ -e /tmp/hold ]; do sleep 0.05; done; }
HOOK
chmod +x /etc/libvirt/hooks/lxc
systemctl restart virtlxcd.service
touch /tmp/hold
virsh -q start slow >/dev/null 2>&1 &
within 5 test -e /tmp/waiting
begin=$SECONDS
systemctl restart virtlxcd.service & restart=$!
within 5 expect deactivating systemctl show -p ActiveState virtlxcd.service
rm /tmp/hold
wait $restart
[ $((SECONDS - begin)) -lt 5 ] || { echo "the restart waited"; false; }
expect running virsh domstate slow
expect 'Unit=machine-lxc' machinectl show "$(machine_of slow)"
virsh -q destroy slow
rm /etc/libvirt/hooks/lxc
systemctl restart virtlxcd.service

echo "daemon and controller killed at once: the container lives, and its console"
guest shell 'while read line; do echo "said $line"; done'
sed -i "s|<console type='pty'/>|<console type='pty'/><console type='pty'/>|" /tmp/shell.xml
virsh -q define /tmp/shell.xml
cat >/tmp/console.py <<'PY'
# Types a word into a console and waits until the container has said it again.
import libvirt, sys
conn = libvirt.open("lxc:///system")
stream = conn.newStream(0)
conn.lookupByName("shell").openConsole(None, stream, 0)
stream.send((sys.argv[1] + "\n").encode())
seen = b""
while ("said " + sys.argv[1]).encode() not in seen:
    seen += stream.recv(1024)
stream.abort()
PY
virsh -q start shell
init=$(init_of shell)
timeout 10 python3 /tmp/console.py before
for round in one two three; do
	old=$(pid_of)
	pgrep -x libvirt_lxc >/tmp/controllers
	xargs kill -KILL "$old" </tmp/controllers || true # one may have ended with another
	within 10 living "$old"
	expect running virsh domstate shell
	[ "$(init_of shell)" = "$init" ] && [ -e "/proc/$init" ]
	timeout 10 python3 /tmp/console.py "$round"
done

echo "the controller alone, then the daemon alone"
pgrep -x libvirt_lxc >/tmp/controllers
xargs kill -KILL </tmp/controllers || true
within 10 timeout 2 python3 /tmp/console.py again
old=$(pid_of)
kill -KILL "$old"
within 10 living "$old"
timeout 10 python3 /tmp/console.py last
[ "$(init_of shell)" = "$init" ]
virsh -q destroy shell
within 10 nothing machinectl list --no-legend
within 10 nothing find /sys/fs/cgroup -type d '(' -name 'machine-lxc*' -o -name 'lxc-[0-9]*' ')'
expect 'NFileDescriptorStore=0' systemctl show -p NFileDescriptorStore virtlxcd.service
