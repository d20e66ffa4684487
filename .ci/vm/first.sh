# Version 2 of control groups: what is installed, activated, started, limited and
# stopped. Ends with an orderly end of the host, three containers running.
. /share/scripts/lib.sh

install_tree() {
	local units unit
	units=$(systemctl list-unit-files --no-legend 'libvirtd*' 'virtlogd*' 'virtlockd*' | awk '{print $1}')
	for unit in $units; do ln -sf /dev/null "/etc/systemd/system/$unit"; done
	cp -a --no-preserve=ownership /share/tree/. /
	sed -i 's/^#log_level.*/log_level = 2/' /etc/libvirt/virtlxcd.conf
	# Each boot has a bridge, as the network of a host would.
	cat >/etc/systemd/system/vlx-bridge.service <<-'UNIT'
		[Unit]
		Before=network.target
		[Service]
		Type=oneshot
		RemainAfterExit=yes
		ExecStart=/bin/ip link add br0 type bridge
		[Install]
		WantedBy=multi-user.target
	UNIT
	# Debian's journald switches auditing off unless told otherwise.
	mkdir -p /etc/systemd/journald.conf.d
	printf '[Journal]\nAudit=yes\n' >/etc/systemd/journald.conf.d/audit.conf
	systemctl enable --quiet --now vlx-bridge.service
	# shellcheck disable=SC2086
	systemctl stop $units
	systemctl restart systemd-journald.service
	systemctl kill -s HUP systemd-logind.service
}

activation() {
	systemctl start virtlxcd.socket
	refuse '^inactive' systemctl is-active virtlxcd.service
	expect 'Id +Name' virsh list
	expect '^active' systemctl is-active virtlxcd.service
}

# All end when they are told to, from when they are ready on. web first takes more
# memory than it may have.
define() {
	local patient='trap "exit 0" TERM; echo ready >/tmp/ready; while :; do sleep 1000 & wait; done'
	guest web "/bin/busybox dd if=/dev/zero of=/dev/null bs=100M count=1; echo \$? >/tmp/greed; $patient" \
		"<interface type='bridge'><source bridge='br0'/></interface>"
	local limits="<vcpu placement='static' cpuset='0'>1</vcpu>"
	limits+="<cputune><shares>512</shares><period>100000</period><quota>50000</quota></cputune>"
	sed -i "s,</memory>,&$limits," /tmp/web.xml
	guest mapped "$patient"
	chown 100000:100000 /srv/mapped/tmp
	sed -i "s,</os>,&<idmap><uid start='0' target='100000' count='65536'/><gid start='0' target='100000' count='65536'/></idmap>," /tmp/mapped.xml
	guest tidy 'trap "sleep 6; echo tidy >/tmp/ended; exit 0" TERM; echo ready >/tmp/ready; while :; do sleep 1000 & wait; done'
	local name
	for name in web mapped tidy; do virsh define /tmp/$name.xml; done
}

start_web() {
	virsh start web
	expect 'web +running' virsh list
	expect 'lxc-[0-9]+-web +container +libvirt-lxc' machinectl list
	expect 'Iface: vnet[0-9]+' machinectl status --no-pager "$(machine_of web)"
	expect 'vnet[0-9]+.* master br0' ip -o link show master br0
	init_of web >/run/init-of-web
}

limits() {
	local g
	g=$(group web)
	expect "^/sys/fs/cgroup/machine.slice/machine-lxc.*-?web.scope/libvirt$" echo "$g"
	holds "$g/memory.max" 67108864
	holds "$g/cpu.max" '50000 100000'
	holds "$g/cpuset.cpus" 0
	expect '^Cpus_allowed_list:.0$' cat "/proc/$(init_of web)/status"
	weight
}

# The share of the processor counts among scopes, so it is theirs.
weight() { holds "$(dirname "$(group web)")/cpu.weight" 59; }

greed() {
	within 20 test -s /srv/web/tmp/greed
	holds /srv/web/tmp/greed 137
	expect '^oom_kill [1-9]' cat "$(group web)/memory.events"
}

still_there() {
	expect 'web +running' virsh list
	same "$(init_of web)" "$(cat /run/init-of-web)"
}

# systemd writes what it knows of a group when something in the slice changes.
manager() {
	systemctl "$1"
	systemd-run --quiet --wait --slice=machine.slice true
	limits
	still_there
}

restart() {
	systemctl restart virtlxcd.service
	still_there
	limits
}

start_mapped() {
	virsh start mapped
	id_mapped
}

journal() {
	local field
	for field in VIRT_CONTAINER=web LIBVIRT_SOURCE=lxc CODE_FUNC= SYSLOG_IDENTIFIER=virtlxcd; do
		expect "^$field" journalctl -b -o export -u virtlxcd.service
	done
}

audit() {
	local trail=(journalctl -b --no-pager -o cat _TRANSPORT=audit)
	within 10 expect 'VIRT_CONTROL .*virt=lxc op=start reason=booted vm="web" .*res=success' "${trail[@]}"
	within 10 expect 'VIRT_CONTROL .*virt=lxc op=init vm="web" .*res=success' "${trail[@]}"
	within 10 expect 'VIRT_RESOURCE .*virt=lxc resrc=net reason=start vm="web" ' "${trail[@]}"
}

suspend() {
	local g
	g=$(group web)
	virsh suspend web
	expect '^paused' virsh domstate web
	expect '^frozen 1' cat "$g/cgroup.events"
	virsh resume web
	expect '^running' virsh domstate web
	expect '^frozen 0' cat "$g/cgroup.events"
}

destroy() {
	virsh destroy web
	virsh destroy mapped
	nothing_left web mapped
	expect 'VIRT_CONTROL .*op=stop reason=destroyed vm="web" ' journalctl -b --no-pager -o cat _TRANSPORT=audit
	absent grep . /proc/net/dev_snmp6/vnet0
}

stop() {
	systemctl stop virtlxcd.service
	within 10 absent pgrep libvirt_lxc
	local left
	left=$(find /sys/fs/cgroup -type d -name '*lxc-*' ! -name virtlxc-controllers)
	[ -z "$left" ] || { echo "left: $left"; return 1; }
	expect 'Id +Name' virsh list
}

before_the_end() {
	systemctl enable --quiet --no-reload virtlxcd.service
	local name
	for name in web mapped; do virsh autostart $name; done
	rm -f /srv/*/tmp/ready /srv/tidy/tmp/ended
	for name in web mapped tidy; do virsh start $name; done
	for name in web mapped tidy; do within 20 test -e /srv/$name/tmp/ready; done
	expect 'LXC containers are running' systemd-inhibit --list --no-pager
}

check 'install, with the original masked' install_tree
check 'the first client activates the service' activation
check 'define three containers' define
check 'start with a bridged link; registered with machined' start_web
check 'limits of memory and processor, on the right groups' limits
check 'greed beyond the limit is killed, init is not' greed
check 'daemon-reload leaves limits and container' manager daemon-reload
check 'daemon-reexec leaves limits and container' manager daemon-reexec
check 'a restart of the daemon leaves limits and container' restart
check 'users and groups mapped' start_mapped
check 'fields in the journal' journal
check 'records in the audit trail' audit
check 'suspend and resume' suspend
check 'destroy leaves nothing' destroy
check 'a stopped daemon leaves no process and no group of a container' stop
for name in machines login cgroup; do
	check "go test $name" go_test $name
done
check 'containers run when the host goes down' before_the_end
finished first
# Else the rig would cut the power as soon as this script is told to end.
systemctl kill -s KILL rig-run.service
systemctl poweroff
exec sleep 1000
