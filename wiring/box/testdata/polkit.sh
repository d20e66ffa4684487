# before: useradd -m alice && groupadd -f libvirt && useradd -m -G libvirt bob
# Who may connect, and what a rule per container lets them see.
systemctl start virtlxcd.socket
for name in web db; do guest $name; virsh define /tmp/$name.xml; done
as() { local user=$1; shift; setpriv --reuid "$user" --regid "$user" --init-groups env -u XDG_RUNTIME_DIR "$@"; }

refuse 'authentication|polkit' as alice virsh -c lxc:///system list --all
expect 'web' as alice virsh -r -c lxc:///system list --all
expect 'web' as bob virsh -c lxc:///system list --all
cat >/etc/polkit-1/rules.d/40-test.rules <<'RULE'
polkit.addRule(function(action, subject) {
	if (action.id == "org.libvirt.unix.manage" && subject.user == "alice") { return polkit.Result.YES; }
});
RULE
within 10 as alice virsh -c lxc:///system list --all

# Fine-grained: alice sees and starts web, and does not know of db.
echo 'access_drivers = ["polkit"]' >>/etc/libvirt/virtlxcd.conf
cat >/etc/polkit-1/rules.d/41-test.rules <<'RULE'
polkit.addRule(function(action, subject) {
	if (action.id.indexOf("org.libvirt.api.domain.") != 0 || subject.user != "alice") { return; }
	if (action.lookup("domain_name") == "web") { return polkit.Result.YES; }
	return polkit.Result.NO;
});
RULE
systemctl restart polkit.service virtlxcd.service
within 10 as alice virsh -c lxc:///system list --all
expect 'web' as alice virsh list --all
[ "$(as alice virsh list --all --name | xargs)" = web ]
refuse 'failed to get domain' as alice virsh start db
as alice virsh start web
expect 'running' as alice virsh domstate web
[ "$(virsh list --all --name | sort | xargs)" = "db web" ]
virsh destroy web

# A polkit that does not answer refuses; root is not asked.
kill -STOP "$(systemctl show -p MainPID --value polkit.service)"
refuse 'access denied|authentication|timed out|failed' timeout 60 setpriv --reuid bob --regid bob --init-groups virsh -c lxc:///system dominfo web
expect 'web' virsh list --all
kill -CONT "$(systemctl show -p MainPID --value polkit.service)"
