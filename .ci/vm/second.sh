# The same disk, after an orderly end: what was ended how, and what runs again.
. /share/scripts/lib.sh

ended() { holds /srv/tidy/tmp/ended tidy; }

# order: all three had ended by themselves before systemd stopped anything.
order() {
	local log down name line
	log=$(journalctl -b -1 --no-pager -o cat)
	down=$(grep -n -m1 'Stopped target multi-user.target' <<<"$log" | cut -d: -f1 || true)
	[ -n "$down" ] || { echo "no end of the host in: $(tail -n 30 <<<"$log")"; return 1; }
	for name in web mapped tidy; do
		line=$(grep -n "container stopped container=$name .*reason=shutdown" <<<"$log" | tail -n 1 | cut -d: -f1 || true)
		[ -n "$line" ] || { echo "$name was not shut down: $(grep container= <<<"$log" | tail -n 20)"; return 1; }
		[ "$line" -lt "$down" ] || { echo "$name ended after the host"; return 1; }
	done
}

autostarted() {
	expect '^active' systemctl is-active virtlxcd.service
	within 20 expect 'web +running' virsh list
	within 20 expect 'mapped +running' virsh list
	same "$(virsh list --name | sort | xargs)" 'mapped web'
	expect 'tidy +shut off' virsh list --all
	expect 'lxc-[0-9]+-web +container +libvirt-lxc' machinectl list
	holds "$(group web)/memory.max" 67108864
	holds "$(dirname "$(group web)")/cpu.weight" 59
}

# The next boot finds no daemon until a client comes.
sockets_only() {
	systemctl disable --quiet --no-reload virtlxcd.service
	systemctl enable --quiet --no-reload virtlxcd.socket virtlxcd-ro.socket virtlxcd-admin.socket
}

check 'the container that traps SIGTERM had its time' ended
check 'all had ended before the host went down' order
check 'autostarted containers run again' autostarted
check 'the one with mapped users too' id_mapped
check 'from now on the sockets alone are enabled' sockets_only
finished second
# The rig cuts the power now, with two containers running.
