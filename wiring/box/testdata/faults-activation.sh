# What the service manager does wrong, and what becomes of a daemon that hangs or
# cannot be started.
echo "no sockets but those that are meant"
cat >/tmp/pass.py <<'PY'
# pass.py WHAT NAME...: runs the daemon with a descriptor of that kind per name.
import os, socket, sys
kind, names = sys.argv[1], sys.argv[2:]
kept = []
for i, name in enumerate(names):
    if kind == "file":
        fd = os.open("/etc/hostname", os.O_RDONLY)
    elif kind == "none":
        continue
    else:
        s = socket.socket(socket.AF_INET if kind == "inet" else socket.AF_UNIX,
                          socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
        kept.append(s)
        s.bind(("127.0.0.1", 0) if kind == "inet" else "/tmp/passed%d" % i)
        if kind in ("stream", "inet"):
            s.listen()
        fd = s.fileno()
    os.dup2(fd, 100 + i)
for i in range(len(names)):
    if kind != "none":
        os.dup2(100 + i, 3 + i, inheritable=True)
    else:
        try: os.close(3 + i)
        except OSError: pass
env = dict(os.environ)
env.setdefault("LISTEN_PID", str(os.getpid()))
env.setdefault("LISTEN_FDS", str(len(names)))
env.setdefault("LISTEN_FDNAMES", ":".join(names))
os.execve("/usr/sbin/virtlxcd", ["virtlxcd", "--timeout", "1"], env)
PY
wrong() {
	local text=$1
	shift
	rm -f /tmp/passed*
	refuse "$text" env "$@"
	[ -z "$(ls /run/libvirt/virtlxcd-* 2>/dev/null)" ] || { echo "sockets were made: $*"; ls /run/libvirt; return 1; }
	absent test -e /run/virtlxcd.pid
}
full=virtlxcd.socket
wrong "'$full' is not a socket" python3 /tmp/pass.py file $full
wrong "'$full' is not a stream socket" python3 /tmp/pass.py datagram $full
wrong "'$full' is not a local one" python3 /tmp/pass.py inet $full
wrong "'$full' does not listen" python3 /tmp/pass.py deaf $full
wrong "unclaimed activation socket 'libvirtd.socket': expected" python3 /tmp/pass.py stream libvirtd.socket
wrong "announced and not passed" python3 /tmp/pass.py none $full
wrong "LISTEN_FDNAMES has 1 names for 2" LISTEN_FDS=2 python3 /tmp/pass.py stream $full
wrong "LISTEN_FDNAMES has 0 names for 1" LISTEN_FDNAMES= python3 /tmp/pass.py stream $full
wrong "LISTEN_FDS 'many'" LISTEN_FDS=many python3 /tmp/pass.py stream $full
wrong "LISTEN_FDS '-1'" LISTEN_FDS=-1 python3 /tmp/pass.py stream $full
wrong "LISTEN_PID 'me'" LISTEN_PID=me python3 /tmp/pass.py stream $full

echo "meant for another process, and a service manager that cannot be reached"
rm -f /tmp/passed*
LIBVIRT_LOG_OUTPUTS=3:stderr LISTEN_PID=1 NOTIFY_SOCKET=/nowhere python3 /tmp/pass.py stream $full 2>/tmp/alone || { cat /tmp/alone; false; }
[ "$(grep -c 'service manager cannot be told' /tmp/alone)" = 1 ] || { cat /tmp/alone; false; }
absent grep -E ' error : ' /tmp/alone || { cat /tmp/alone; false; }

echo "a daemon that hangs"
mkdir -p /run/systemd/system/virtlxcd.service.d
printf '[Service]\nWatchdogSec=2\n' >/run/systemd/system/virtlxcd.service.d/watchdog.conf
systemctl daemon-reload
systemctl start virtlxcd.socket
guest web
virsh define /tmp/web.xml
virsh start web
init=$(init_of web)
pid=$(systemctl show -p MainPID --value virtlxcd.service)
kill -STOP "$pid"
within 20 expect 'running' timeout 10 virsh domstate web # one that connects to the dying daemon is cut off
replaced() { local now; now=$(systemctl show -p MainPID --value virtlxcd.service); [ "$now" != 0 ] && [ "$now" != "$pid" ]; }
within 10 replaced
expect 'watchdog' systemctl show -p Result -p NRestarts virtlxcd.service || journalctl -q -u virtlxcd.service | grep -i watchdog
[ "$(init_of web)" = "$init" ]

echo "a bad configuration"
systemctl stop virtlxcd.service
cp /etc/libvirt/virtlxcd.conf /tmp/good.conf
echo 'max_clients = "many"' >>/etc/libvirt/virtlxcd.conf
refuse 'failed because' systemctl start virtlxcd.service
refuse 'Status: ".*virtlxcd.conf:[0-9]+: .*max_clients' systemctl status --no-pager virtlxcd.service
# It is tried again and again; clients wait, and the sockets stay.
often() { [ "$(systemctl show -p NRestarts --value virtlxcd.service)" -ge 2 ]; }
virsh domstate web >/tmp/patient 2>&1 &
client=$!
within 10 often
for socket in virtlxcd virtlxcd-ro virtlxcd-admin; do expect '^active' systemctl is-active $socket.socket; done
cp /tmp/good.conf /etc/libvirt/virtlxcd.conf
systemctl start virtlxcd.service
wait $client
expect running cat /tmp/patient
[ "$(init_of web)" = "$init" ]
virsh destroy web
