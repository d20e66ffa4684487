# With the socket units masked the daemon makes its own sockets.
systemctl mask virtlxcd.socket virtlxcd-ro.socket virtlxcd-admin.socket
systemctl start virtlxcd.service
expect '777 ' stat -c '%a %U' /run/libvirt/virtlxcd-sock
expect '777 ' stat -c '%a %U' /run/libvirt/virtlxcd-sock-ro
expect '700 root' stat -c '%a %U' /run/libvirt/virtlxcd-admin-sock
expect 'Id +Name' virsh list
expect 'virtlxcd' virt-admin -c virtlxcd:///system server-list

# Without machined, because it is told to, containers are below /machine.
sed -i 's/^#machined.*/machined = 0/' /etc/libvirt/lxc.conf
systemctl restart virtlxcd.service
guest web
virsh create /tmp/web.xml
[ -z "$(machinectl list --no-legend)" ]
[ -n "$(find /sys/fs/cgroup -type d -path '*/machine/lxc-*-web.libvirt-lxc')" ]
virsh destroy web

systemctl stop virtlxcd.service
absent test -e /run/libvirt/virtlxcd-sock
absent test -e /run/virtlxcd.pid
left=$(find /sys/fs/cgroup -type d '(' -name virtlxc-controllers -o -name machine ')')
[ -z "$left" ] || { echo "left: $left"; false; }
