# A host that goes down lets containers end in order first, as long as logind waits.
mount --bind /shared /mnt
sed -i 's/^#log_level.*/log_level = 2/; s,^#log_outputs.*,log_outputs = "1:file:/mnt/daemon.log",' /etc/libvirt/virtlxcd.conf
grep -q '^log_outputs' /etc/libvirt/virtlxcd.conf
sed -i 's/^#shutdown_timeout.*/shutdown_timeout = 3/' /etc/libvirt/lxc.conf
virtlxcd --check-config
systemctl start virtlxcd.socket
absent sh -c "systemd-inhibit --list | grep 'LXC containers are running'"
guest tidy 'trap "sleep 1; echo tidy >/tmp/ended; exit 0" TERM; while :; do sleep 1000 & wait; done'
guest stubborn 'trap : TERM; while :; do sleep 1000 & wait; done'
mount --bind /shared /srv/tidy/tmp
virsh create /tmp/tidy.xml
virsh create /tmp/stubborn.xml
within 10 sh -c "systemd-inhibit --list | grep 'LXC containers are running.*delay'"
trap 'exit 0' TERM
systemctl poweroff
sleep 60 &
wait
