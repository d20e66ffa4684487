# Containers start and stop whatever becomes of the services around them. What
# fails is said once, and what comes back is used again.
sed -i 's/^#log_level.*/log_level = 2/' /etc/libvirt/virtlxcd.conf
for unit in dbus systemd-machined systemd-logind polkit; do
	mkdir -p /run/systemd/system/$unit.service.d
	printf '[Unit]\nStartLimitIntervalSec=0\n' >/run/systemd/system/$unit.service.d/often.conf
done
systemctl daemon-reload
systemctl start virtlxcd.socket
for name in keep one two; do guest $name; virsh define /tmp/$name.xml; done
virsh start keep
init=$(init_of keep)
registered() { machinectl show "$(machine_of "$1")"; }
hold() { systemctl kill --signal "$2" --kill-whom main "$1"; }

# warned PATTERN COUNT: since the last mark there were so many warnings, all of these.
said() { journalctl --sync; journalctl -q -p warning -o cat -u virtlxcd.service -t virtlxcd; }
mark() { marked=$(said | wc -l); }
warned() {
	local new
	# Whether the lock is just being taken when the bus goes is a matter of chance.
	new=$(said | tail -n +$((marked + 1)) | grep -v 'the host will not wait for containers' || true)
	[ "$(grep -c . <<<"$new")" = "$2" ] && [ "$(grep -cE "$1" <<<"$new")" = "$2" ] ||
		{ echo "wanted $2 of '$1' in: $new"; return 1; }
}

# cycle NAME SECONDS: it starts and stops, each in time.
cycle() {
	local begin=${EPOCHREALTIME/./} end
	virsh start "$1" >/dev/null
	end=${EPOCHREALTIME/./}
	virsh destroy "$1" >/dev/null
	echo "$1: start $(((end - begin) / 1000)) ms, stop $(((${EPOCHREALTIME/./} - end) / 1000)) ms"
	[ $((${EPOCHREALTIME/./} - begin)) -lt $(($2 * 1000000)) ] || { echo "$1 took too long"; return 1; }
}

echo "machined restarts"
mark
systemctl restart systemd-machined.service
cycle one 5
within 10 registered keep
systemctl kill -s KILL systemd-machined.service
cycle one 5
within 10 registered keep
systemctl stop systemd-machined.service
cycle one 5
within 10 registered keep
warned . 0

echo "machined hangs"
mark
hold systemd-machined.service STOP
virsh start two
cycle one 5
hold systemd-machined.service CONT
within 10 registered two
virsh destroy two
warned 'systemd-machined does not register' 1

echo "machined is away for good"
mark
systemctl mask --runtime systemd-machined.service
systemctl stop systemd-machined.service
virsh start two
cycle one 5
cycle one 2
systemctl unmask --runtime systemd-machined.service
systemctl start systemd-machined.service
within 10 registered two
within 10 registered keep
virsh destroy two
warned 'systemd-machined does not register' 1

echo "logind restarts"
mark
mine() { systemd-inhibit --list --no-legend | grep -c 'LXC containers are running' || true; }
locks() { find /run/systemd/inhibit -name '*.ref' | wc -l; }
[ "$(mine)" = 1 ]
systemctl restart systemd-logind.service
within 10 expect '^1$' mine
within 10 expect '^1$' locks
systemctl kill -s KILL systemd-logind.service
within 10 expect '^1$' mine
within 10 expect '^1$' locks
hold systemd-logind.service STOP
virsh destroy keep
cycle one 5
virsh start keep
hold systemd-logind.service CONT
within 10 expect '^1$' mine
systemctl stop systemd-logind.service
systemctl start systemd-logind.service
within 10 expect '^1$' mine
warned . 0

echo "polkit restarts"
systemctl restart polkit.service
cycle one 5
hold polkit.service STOP
cycle one 5
systemctl kill -s KILL polkit.service
cycle one 5

echo "the bus restarts"
mark
init=$(init_of keep)
systemctl restart dbus.service
cycle one 5
within 10 registered keep
hold dbus.service KILL
cycle one 5
within 10 registered keep
within 10 expect '^1$' mine
warned . 0

echo "the bus hangs"
mark
hold dbus.service STOP
cycle one 5
cycle one 2
virsh start two
hold dbus.service CONT
within 10 registered keep
cycle one 5
warned 'containers are not registered|systemd makes no scopes' 1
virsh start one
expect 'Unit=machine-lxc' registered one
virsh destroy one
virsh destroy two

echo "the bus is away"
mark
systemctl stop dbus.socket dbus.service
absent machinectl list
cycle one 5
cycle one 2
systemctl start dbus.socket dbus.service
within 10 registered keep
cycle one 5
warned 'containers are not registered' 1

echo "the journal hangs: nobody waits for it, and nothing is silently lost"
stopped() { journalctl --sync; journalctl -q -o cat -u virtlxcd.service | grep -c 'container stopped container=one'; }
before=$(stopped)
hold systemd-journald.service STOP
# Services of systemd wait for it up to 10 s for each line, and we for them not as long.
for _ in $(seq 20); do cycle one 10; done
expect 'keep +running' virsh list
hold systemd-journald.service CONT
cycle one 5
whole() { said | grep -q 'records could not be written' || [ "$(stopped)" -eq $((before + 21)) ]; }
within 10 whole

[ "$(init_of keep)" = "$init" ]
for name in $(virsh list --name); do virsh destroy "$name"; done
nothing() { local left; left=$("$@"); [ -z "$left" ] || { echo "left: $left"; return 1; }; }
within 10 nothing systemctl list-units --no-legend --all 'machine-lxc*'
within 10 nothing machinectl list --no-legend
within 10 nothing find /sys/fs/cgroup -type d '(' -name 'machine-lxc*' -o -name 'lxc-[0-9]*' ')'
within 10 expect '^0$' mine
within 10 expect '^0$' locks
