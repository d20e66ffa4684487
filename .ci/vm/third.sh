# Version 1 of control groups, after the power was cut with containers running.
. /share/scripts/lib.sh

activation() {
	refuse '^inactive' systemctl is-active virtlxcd.service
	expect 'Id +Name' virsh list
	expect '^active' systemctl is-active virtlxcd.service
	[ -d /sys/fs/cgroup/memory ]
}

running() {
	local name
	for name in web mapped; do within 20 expect "$name +running" virsh list; done
	id_mapped
	holds "$(group web memory)/memory.limit_in_bytes" 67108864
	holds "$(dirname "$(group web cpu)")/cpu.shares" 512
	expect 'lxc-[0-9]+-web +container +libvirt-lxc' machinectl list
}

start() {
	virsh start tidy
	expect 'tidy +running' virsh list
	expect 'machine.slice/machine-lxc.*tidy.scope/libvirt$' group tidy memory
}

destroy() {
	local name
	for name in web mapped tidy; do virsh destroy $name; done
	nothing_left web mapped tidy
}

check 'version 1: the first client activates the service' activation
check 'version 1: autostarted although the power was cut; limits' running
check 'version 1: start' start
check 'version 1: destroy leaves nothing' destroy
finished third
