# A host that goes down lets containers end in order first.
systemctl start virtlxcd.socket
guest tidy 'trap "sleep 1; echo tidy >/tmp/ended; exit 0" TERM; while :; do sleep 1000 & wait; done'
guest stubborn 'trap "" TERM; while :; do sleep 1000; done'
mount --bind /shared /srv/tidy/tmp
sed -i 's/^#* *shutdown_timeout.*//' /etc/libvirt/lxc.conf && echo 'shutdown_timeout = 3' >>/etc/libvirt/lxc.conf
systemctl reload virtlxcd.service || systemctl start virtlxcd.service
virsh create /tmp/tidy.xml
virsh create /tmp/stubborn.xml
expect 'LXC containers are running' loginctl list-inhibitors || expect 'delay' systemd-inhibit --list
expect 'shutdown.*delay|delay' systemd-inhibit --list
# As a host's shutdown announces itself; the box is switched off by the rig.
mkdir -p /etc/systemd/logind.conf.d
journalctl -f -u virtlxcd.service >/shared/journal &
systemctl poweroff
sleep 30
