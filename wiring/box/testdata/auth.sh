# before: useradd -m alice && useradd -m carol
# Who is who, who may say so, and what each of them sees.
systemctl start virtlxcd.socket
for name in web db; do guest $name; virsh -q define /tmp/$name.xml; done
as() { local user=$1; shift; setpriv --reuid "$user" --regid "$user" --init-groups env -u XDG_RUNTIME_DIR "$@"; }
nobody() { setpriv --reuid 4242 --regid 4242 --clear-groups "$@" </dev/null; }

echo "a user without an account"
expect 'web' nobody virsh -r list --all
refuse 'authentication unavailable: no polkit agent|access denied by policy|Failed to find user record' nobody virsh list --all

echo "nobody there to be asked"
refuse "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'" as alice virsh list --all </dev/null
refuse 'authentication' as alice script -qec 'virsh -q list --all' /dev/null </dev/null

cat >/tmp/identity.py <<'PY'
# identity.py rw|ro: says that the client is root, and lists what that may see.
import libvirt, sys
conn = libvirt.open("lxc:///system") if sys.argv[1] == "rw" else libvirt.openReadOnly("lxc:///system")
try:
    conn.setIdentity({"unix-user-id": 0, "user-name": "root", "unix-group-id": 0,
                      "process-id": 1, "process-time": 1}, 0)
except libvirt.libvirtError as e:
    print("refused:", e)
print("sees:", *sorted(d.name() for d in conn.listAllDomains()))
PY
cat >/etc/polkit-1/rules.d/40-test.rules <<'RULE'
polkit.addRule(function(action, subject) {
	if (action.id == "org.libvirt.unix.manage" && (subject.user == "alice" || subject.user == "carol")) { return polkit.Result.YES; }
});
RULE
within 10 as alice virsh -q list --all

echo "whoever says who somebody else is"
expect 'refused: .*read only' python3 /tmp/identity.py ro
expect 'refused: .*read only' as alice python3 /tmp/identity.py ro
expect '^sees: db web$' python3 /tmp/identity.py rw
absent expect refused python3 /tmp/identity.py rw
expect 'refused: .*access denied' as alice python3 /tmp/identity.py rw

echo "per container"
echo 'access_drivers = ["polkit"]' >>/etc/libvirt/virtlxcd.conf
cat >/etc/polkit-1/rules.d/41-test.rules <<'RULE'
polkit.addRule(function(action, subject) {
	if (action.id.indexOf("org.libvirt.api.domain.") != 0) { return; }
	var name = action.lookup("domain_name");
	if (subject.user == "alice") {
		if (name != "web" && name.indexOf("many") != 0) { return polkit.Result.NO; }
		return action.id == "org.libvirt.api.domain.read-secure" ? polkit.Result.NO : polkit.Result.YES;
	}
	if (subject.user == "carol" && name == "db") { return polkit.Result.YES; }
});
RULE
systemctl restart polkit.service virtlxcd.service
within 10 as alice virsh -q list --all
expect "refused: .*access denied" as alice python3 /tmp/identity.py rw
expect "^sees: web$" as alice python3 /tmp/identity.py rw
expect "<name>web" as alice virsh dumpxml web
refuse "access denied" as alice virsh dumpxml web --security-info
expect "<name>db" as carol virsh dumpxml db --security-info
refuse "failed to get domain|not found" as alice virsh dumpxml db

echo "events of what one may see"
as alice timeout 60 virsh event --domain web --all --loop --timeout 50 >/dev/null 2>&1 & domain=$!
as alice virsh event --event lifecycle --loop --timeout 60 >/tmp/seen 2>&1 & alice=$!
as carol virsh event --event lifecycle --loop --timeout 60 >/tmp/seen.carol 2>&1 & carol=$!
clients() { virt-admin -c virtlxcd:///system client-list virtlxcd | grep -c unix; }
within 10 expect '^[3-9]' clients
again() { virsh -q start "$1"; virsh -q destroy "$1"; grep -q "'$1'.*Stopped" "$2"; }
within 20 again web /tmp/seen
within 20 again db /tmp/seen.carol
again web /tmp/seen
expect web cat /tmp/seen
absent grep -w db /tmp/seen
kill $alice $carol $domain

echo "a long list"
cat >/tmp/many.py <<'PY'
import libvirt
conn = libvirt.open("lxc:///system")
xml = open("/tmp/web.xml").read()
for i in range(300):
    conn.defineXML(xml.replace("<name>web<", "<name>many%03d<" % i))
PY
python3 /tmp/many.py
begin=${EPOCHREALTIME/./}
[ "$(as alice virsh list --all --name | grep -c .)" = 301 ]
took=$(((${EPOCHREALTIME/./} - begin) / 1000))
echo "301 of 302 containers listed for an ordinary user in $took ms"
[ $took -lt 5000 ]
begin=${EPOCHREALTIME/./}
[ "$(as carol virsh list --all --name | grep -c .)" = 302 ]
echo "302 for another in $(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
