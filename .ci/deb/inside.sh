#!/bin/bash
# The part of .ci/deb-test.sh that runs inside the booted Debian: every line it
# prints that begins with PASS or FAIL is a result.
set -u
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
uri=lxc:///system
sockets="virtlxcd.socket virtlxcd-ro.socket virtlxcd-admin.socket"

# step runs a function or command and reports it; what it printed shows a failure.
step() {
	local name=$1 output
	shift
	if output=$("$@" 2>&1 </dev/null); then
		echo "PASS  $name"
	else
		echo "FAIL  $name"
		sed 's/^/      /' <<<"$output"
	fi
}

all() { # STATE UNIT...: every unit is in the state, and says so if not
	local state=$1 unit now bad=0
	shift
	for unit; do
		now=$(systemctl is-active "$unit")
		[ "$now" = "$state" ] || { echo "$unit is $now"; bad=1; }
	done
	return $bad
}

equal() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }
not() { ! "$@"; }

vsh() { timeout 60 virsh -q -c "$uri" "$@"; }

# init prints pid and start time of the container's init.
init() {
	local pid
	pid=$(pgrep -x -f '/bin/busybox sleep 43210') || { echo none; return 0; }
	echo "$pid since $(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20)"
}

main_pid() { systemctl show --property MainPID --value virtlxcd.service; }

container() {
	mkdir -p /srv/root/bin
	cp /bin/busybox /srv/root/bin/busybox
	cat >/root/web.xml <<-'XML'
		<domain type='lxc'>
		  <name>web</name>
		  <memory unit='MiB'>64</memory>
		  <os><type>exe</type><init>/bin/busybox</init><initarg>sleep</initarg><initarg>43210</initarg></os>
		  <features><privnet/></features>
		  <devices>
		    <filesystem type='mount'><source dir='/srv/root'/><target dir='/'/></filesystem>
		    <console type='pty'/>
		  </devices>
		</domain>
	XML
	vsh define /root/web.xml && vsh start web && [ "$(init)" != none ]
}

modes() {
	equal "$(stat -c '%a %U' /run/libvirt/virtlxcd-sock /run/libvirt/virtlxcd-sock-ro /run/libvirt/virtlxcd-admin-sock | tr '\n' ,)" \
		"666 root,666 root,600 root,"
}

options() {
	local help option bad=0
	help=$(virtlxcd --help) || return 1
	for option in $(grep -o -e '--[a-z][a-z-]*' /usr/share/bash-completion/completions/virtlxcd | grep -vx -e --name | sort -u); do
		grep -q -e "$option\b" <<<"$help" || { echo "$option is not in the help"; bad=1; }
	done
	return $bad
}

installed() { dpkg-query -W -f '${Status}\n' "$1" | grep -x 'install ok installed'; }

# same: the container's init is the one that was started first.
same() {
	[ "$born" != none ] || { echo "there was none"; return 1; }
	equal "$(init)" "$born"
}

no_sockets() { ! ls /run/libvirt/virtlxcd-*; }

# --- a host with libvirt's driver for containers: it gives way, what virtual
# machines need stays

dpkg -i /root/driver.deb >/dev/null
mkdir -p /run/libvirt/lxc
printf '[Service]\nExecStart=/bin/sleep infinity\n' >/run/systemd/system/libvirtd.service
systemctl daemon-reload
systemctl start libvirtd.service
libvirtd=$(systemctl show --property MainPID --value libvirtd.service)
printf %s "$libvirtd" >/run/libvirt/lxc/driver.pid # it serves containers, it says

step "install" dpkg -i /root/old.deb
step "libvirt's daemon is restarted without the driver" not equal "$(systemctl show --property MainPID --value libvirtd.service)" "$libvirtd"
step "libvirt's LXC driver is replaced" not installed libvirt-daemon-driver-lxc
step "libvirt's daemon installs beside it, unattended" dpkg -i /root/system.deb
step "... and its lxc.conf is its own" equal "$(cat /etc/libvirt/lxc.conf)" "of libvirt-daemon-system"
dpkg -P libvirt-daemon-system >/dev/null 2>&1

step "all is configured" equal "$(dpkg-query -W -f '${Status}' virtlxcd-go)" "install ok installed"
step "files are as packaged" dpkg -V virtlxcd-go
step "sockets are active" all active $sockets
step "the service waits for a client" all inactive virtlxcd.service
step "sockets and service are enabled" systemctl is-enabled $sockets virtlxcd.service
step "socket files have their modes" modes
step "systemd likes the units" systemd-analyze verify --man=no virtlxcd.service $sockets
step "there is a group libvirt" getent group libvirt
step "polkit knows the actions" pkaction --action-id org.libvirt.unix.manage
step "logind would wait" equal "$(busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager InhibitDelayMaxUSec)" "t 75000000"
step "the installed configuration is valid" virtlxcd --check-config
step "the program has the options that its completion offers" options

# --- use

step "the first client starts the service" vsh list
step "... and it is active" all active virtlxcd.service
step "... and libvirt's daemon, too" all active libvirtd.service
systemctl stop libvirtd.service
step "define and start a container" container
born=$(init)
useradd --groups libvirt member
useradd outsider
step "a member of group libvirt may manage" su member -c "timeout 20 virsh -q -c $uri domstate web"
step "another user may look" su outsider -c "timeout 20 virsh -q --readonly -c $uri domstate web"
step "... and no more" not su outsider -c "timeout 20 virsh -q -c $uri domstate web"
before=$(main_pid)
step "reload" systemctl reload virtlxcd.service
step "... leaves the process" equal "$(main_pid)" "$before"
step "restart" systemctl restart virtlxcd.service
step "the container runs on" same
step "... and is known" equal "$(vsh domstate web)" running

# --- upgrade

echo '# of the administrator' >>/etc/libvirt/virtlxcd.conf
before=$(main_pid)
step "upgrade with the container running" dpkg -i /root/new.deb
step "the new version is installed" equal "$(dpkg-query -W -f '${Version}' virtlxcd-go)" 0.0.2
step "the service runs" all active virtlxcd.service $sockets
step "... and is another process" not equal "$(main_pid)" "$before"
step "the container runs on" same
step "... and is known" equal "$(vsh domstate web)" running
step "changed configuration stays" grep -qx '# of the administrator' /etc/libvirt/virtlxcd.conf

systemctl disable --quiet virtlxcd.service
step "reinstall" dpkg -i /root/new.deb
step "what was disabled stays disabled" equal "$(systemctl is-enabled virtlxcd.service)" disabled
step "... and the container runs on" same
systemctl enable --quiet virtlxcd.service

# --- remove

step "remove with the container running" dpkg -r virtlxcd-go
step "no daemon is left" not pgrep -x virtlxcd
step "no socket is left" no_sockets
step "no unit is left" equal "$(systemctl show --property LoadState --value virtlxcd.service)" not-found
step "the container runs on" same
step "configuration stays" test -e /etc/libvirt/virtlxcd.conf -a -e /etc/libvirt/lxc/web.xml

step "install again" dpkg -i /root/new.deb
step "the container is found" equal "$(vsh domstate web)" running
step "... and still the same" same
step "... and can be stopped" vsh destroy web
step "... and is gone" equal "$(init)" none

# --- purge

step "purge" dpkg -P virtlxcd-go
step "configuration is gone" not ls /etc/libvirt/virtlxcd.conf /etc/default/virtlxcd /etc/logrotate.d/virtlxcd
step "no link to a unit is left" equal "$(find /etc/systemd /var/lib/systemd/deb-systemd-helper-enabled -name '*virtlxcd*' 2>/dev/null)" ""
step "definitions stay" test -e /etc/libvirt/lxc/web.xml
echo "inside: done"
