# layouts: hybrid v1
# The first client activates the service; containers outlive whatever happens to
# the daemon and to the service manager.
sed -i 's/^#log_level.*/log_level = 2/' /etc/libvirt/virtlxcd.conf
systemctl start virtlxcd.socket
refuse '^inactive' systemctl is-active virtlxcd.service
expect 'Id +Name' virsh list
expect '^active' systemctl is-active virtlxcd.service
expect '^active' systemctl is-active virtlxcd-ro.socket
expect '^active' systemctl is-active virtlxcd-admin.socket

ip link add br0 type bridge
guest web '' "<interface type='bridge'><source bridge='br0'/></interface>"
virsh define /tmp/web.xml
virsh start web
expect 'web +running' virsh list
expect 'lxc-[0-9]+-web +container +libvirt-lxc' machinectl list
machine=$(machine_of web)
init=$(init_of web)
expect "Name:.*sleep|State: " cat "/proc/$init/status"
expect 'Unit=machine-lxc' machinectl show "$machine"
expect 'Iface: vnet[0-9]+' machinectl status --no-pager "$machine"
scope=$(machinectl show -p Unit --value "$machine")
expect '^machine.slice' systemctl show -p Slice --value "$scope"
expect '^yes' systemctl show -p Delegate --value "$scope"
expect '^systemd-container|^memory' awk -F: '{print $2}' "/proc/$init/cgroup"
expect "machine.slice/.*web.scope/libvirt" cat "/proc/$init/cgroup"

systemctl restart virtlxcd.service
expect 'web +running' virsh list
systemctl daemon-reexec
systemctl daemon-reload
expect 'web +running' virsh list
[ "$(init_of web)" = "$init" ]
systemctl reload virtlxcd.service
expect 'web +running' virsh list
systemctl restart systemd-machined.service
within 10 machinectl show "$machine"
kill -KILL "$(systemctl show -p MainPID --value virtlxcd.service)"
within 10 virsh domstate web
expect running virsh domstate web
[ "$(init_of web)" = "$init" ]

# The trail in the journal.
expect 'VIRT_CONTAINER=web' journalctl -o export -u virtlxcd.service
expect 'LIBVIRT_SOURCE=' journalctl -o export -u virtlxcd.service
expect 'CODE_FUNC=' journalctl -o export -u virtlxcd.service

virsh destroy web
within 10 absent machinectl show "$machine"
# In a box systemd is not told that a group of version 1 became empty, and leaves the
# scope and its groups: what is ours is gone all the same.
ours='*web*'
[ "$LAYOUT" = v1 ] && ours='*web*/libvirt' || within 10 absent systemctl is-active "$scope"
left=$(find /sys/fs/cgroup -type d -path "$ours")
[ -z "$left" ] || { echo "left: $left"; false; }
virsh undefine web

# Idle for as long as the sysconfig file says, the daemon ends; its sockets serve on.
echo 'VIRTLXCD_ARGS="--timeout 1"' >/etc/default/virtlxcd
systemctl restart virtlxcd.service
within 15 refuse '^inactive' systemctl is-active virtlxcd.service
expect 'Id +Name' virsh list
expect '^active' systemctl is-active virtlxcd.service
