package domxml_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/ports"
)

// inside returns the lines of a printed document that a bare one does not have.
func inside(t *testing.T, document string) string {
	t.Helper()
	codec := newCodec()
	def, err := codec.Parse(document)
	require.NoError(t, err)
	printed := codec.Format(def, inactive)
	again, err := codec.Parse(printed)
	require.NoError(t, err, printed)
	assert.Equal(t, def, again, "printing changes nothing")

	plain, err := codec.Parse(sketch{}.String())
	require.NoError(t, err)
	known := map[string]bool{"  <devices>": true, "  </devices>": true}
	for line := range strings.Lines(codec.Format(plain, inactive)) {
		known[line] = true
	}
	var b strings.Builder
	for line := range strings.Lines(printed) {
		if !known[line] {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestNormalForm pins what stands for what was written.
func TestNormalForm(t *testing.T) {
	for _, test := range []struct{ name, document, want string }{
		{"bytes round up", sketch{memory: "<memory unit='bytes'>1025</memory>"}.String(),
			"  <memory unit='KiB'>2</memory>\n  <currentMemory unit='KiB'>2</currentMemory>\n"},
		{"decimal", sketch{memory: "<memory unit='MB'>200</memory>"}.String(),
			"  <memory unit='KiB'>195313</memory>\n  <currentMemory unit='KiB'>195313</currentMemory>\n"},
		{"current is capped", sketch{memory: "<memory>10</memory><currentMemory>20</currentMemory>"}.String(),
			"  <memory unit='KiB'>10</memory>\n  <currentMemory unit='KiB'>10</currentMemory>\n"},
		{"dumpCore", sketch{memory: "<memory dumpCore='off'>1000</memory>"}.String(), "  <memory dumpCore='off' unit='KiB'>1000</memory>\n"},
		{"vcpu current", body("<vcpu current='1'>2</vcpu>"), "  <vcpu placement='static' current='1'>2</vcpu>\n"},
		{"vcpu auto", body("<vcpu placement='auto' cpuset='1'>2</vcpu>"), "  <vcpu placement='auto'>2</vcpu>\n"},
		{"cpuset", body("<vcpu cpuset='0-2,^1,7'>1</vcpu>"), "  <vcpu placement='static' cpuset='0,2,7'>1</vcpu>\n"},
		{"no limit", body("<memtune><hard_limit>9007199254740991</hard_limit></memtune>"), ""},
		{"memtune", body("<memtune><swap_hard_limit unit='MiB'>2</swap_hard_limit><min_guarantee unit='MiB'>1</min_guarantee><hard_limit>0</hard_limit></memtune>"),
			"  <memtune>\n    <hard_limit unit='KiB'>0</hard_limit>\n    <min_guarantee unit='KiB'>1024</min_guarantee>\n    <swap_hard_limit unit='KiB'>2048</swap_hard_limit>\n  </memtune>\n"},
		{"empty tunables", body("<memtune/><cputune><shares/></cputune><blkiotune><weight>0</weight></blkiotune><idmap/><features/><clock/><title/><description/><on_crash/>"), ""},
		{"period 0", body("<cputune><period>0</period><quota>0</quota></cputune>"), ""},
		{"cputune", body("<cputune><vcpupin vcpu='0' cpuset='1'/><quota>-5</quota><shares>9</shares></cputune>"),
			"  <cputune>\n    <shares>9</shares>\n    <quota>-5</quota>\n    <vcpupin vcpu='0' cpuset='1'/>\n  </cputune>\n"},
		{"numatune", body("<numatune><memory nodeset='0'/></numatune>"), "  <numatune>\n    <memory mode='strict' nodeset='0'/>\n  </numatune>\n"},
		{"capabilities", body("<features><capabilities policy='deny'><mknod state='off'/><chown/></capabilities></features>"),
			"  <features>\n    <capabilities policy='deny'>\n      <chown state='on'/>\n      <mknod state='off'/>\n    </capabilities>\n  </features>\n"},
		{"default capabilities", body("<features><capabilities policy='default'/></features>"), ""},
		{"features", body("<features><privnet state='off'/><hap/><pae/></features>"),
			"  <features>\n    <pae/>\n    <hap state='on'/>\n    <privnet/>\n  </features>\n"},
		{"clock", body("<clock offset='variable'/>"), "  <clock offset='variable' adjustment='0' basis='utc'/>\n"},
		{"seclabel", body("<seclabel type='static' model='none'><label>x</label></seclabel>"), "  <seclabel type='none' model='none'/>\n"},
		{"seclabel dynamic", body("<seclabel type='dynamic' model='selinux'/>"), "  <seclabel type='dynamic' model='selinux' relabel='yes'/>\n"},
		{"sharing", sharing("<n:shareuts type='pid' value='&lt;'/><sharenet type='netns' value='a'/>"),
			"<domain type='lxc' xmlns:lxc='http://libvirt.org/schemas/domain/lxc/1.0'>\n  <lxc:namespace>\n" +
				"    <lxc:sharenet type='netns' value='a'/>\n    <lxc:shareuts type='pid' value='&lt;'/>\n  </lxc:namespace>\n"},
		{"sharing nothing", sharing(""), ""},
		{"filesystem", devices("<filesystem><foo/><space_hard_limit unit='KiB'>2</space_hard_limit><driver type='path'/><readonly/><alias name='x'/><target dir='/t'/><source dir='/s'/></filesystem>"),
			"  <devices>\n    <filesystem type='mount' accessmode='passthrough'>\n      <driver type='path'/>\n      <source dir='/s'/>\n" +
				"      <target dir='/t'/>\n      <readonly/>\n      <space_hard_limit unit='bytes'>2048</space_hard_limit>\n      <foo/>\n    </filesystem>\n  </devices>\n"},
		{"volume", devices("<filesystem type='volume'><source pool='p' volume='v'/><target dir='/t'/></filesystem>"),
			"  <devices>\n    <filesystem type='volume' accessmode='passthrough'>\n      <source pool='p' volume='v'/>\n      <target dir='/t'/>\n    </filesystem>\n  </devices>\n"},
		{"ram", devices("<filesystem type='ram'><source usage='1500' units='KB'/><target dir='/t'/></filesystem>"),
			"  <devices>\n    <filesystem type='ram' accessmode='passthrough'>\n      <source usage='1464' units='KiB'/>\n      <target dir='/t'/>\n    </filesystem>\n  </devices>\n"},
		{"interface", devices("<interface type='bridge'><mtu size='0'/><link/><port isolated='no'/><ip address='fd00:0::1'/><target dev='vnet3' managed='no'/><guest dev='e' actual='zz'/><vlan><tag id='5'/></vlan><mac address='52:54:0:0:0:A'/><source bridge='b'/></interface>"),
			"  <devices>\n    <interface type='bridge'>\n      <mac address='52:54:00:00:00:0a'/>\n      <source bridge='b'/>\n      <vlan>\n        <tag id='5'/>\n      </vlan>\n" +
				"      <port isolated='no'/>\n      <ip address='fd00::1' family='ipv6'/>\n      <target managed='no'/>\n      <guest dev='e' actual='zz'/>\n    </interface>\n  </devices>\n"},
		{"direct", devices("<interface type='direct'><source dev='e'/></interface>"),
			"  <devices>\n    <interface type='direct'>\n      <mac address='52:54:00:01:02:03'/>\n      <source dev='e' mode='vepa'/>\n    </interface>\n  </devices>\n"},
		{"network", devices("<interface type='network'><source network='n' portgroup='g'/>" + mac + "</interface>"),
			"  <devices>\n    <interface type='network'>\n      <mac address='52:54:00:00:00:01'/>\n      <source network='n' portgroup='g'/>\n    </interface>\n  </devices>\n"},
		{"bare interface", devices("<interface/>"), "  <devices>\n    <interface type='user'>\n      <mac address='52:54:00:01:02:03'/>\n    </interface>\n  </devices>\n"},
		{"console of another kind", devices("<console type='unix'><source mode='bind' path='/x'/></console>"),
			"  <devices>\n    <console type='unix'>\n      <source mode='bind' path='/x'/>\n      <target type='lxc' port='0'/>\n    </console>\n  </devices>\n"},
		{"serial ports", devices("<serial type='pty'><target port='3'/></serial><serial/>"),
			"  <devices>\n    <serial type='pty'>\n      <target port='3'/>\n    </serial>\n    <serial type='pty'>\n      <target port='4'/>\n    </serial>\n  </devices>\n"},
		{"virtio console", devices("<console><target type='virtio'/></console>"),
			"  <devices>\n    <controller type='virtio-serial' index='0'/>\n    <console type='pty'>\n      <target type='virtio' port='0'/>\n    </console>\n  </devices>\n"},
		{"scsi disk", devices("<disk type='file'><target dev='sdi'/><source file='/x'/></disk>"),
			"  <devices>\n    <disk type='file' device='disk'>\n      <source file='/x'/>\n      <target dev='sdi' bus='scsi'/>\n" +
				"      <address type='drive' controller='1' bus='0' target='0' unit='1'/>\n    </disk>\n" +
				"    <controller type='scsi' index='0'/>\n    <controller type='scsi' index='1'/>\n  </devices>\n"},
		{"cdrom", devices("<disk type='block' device='cdrom'><source dev='/x'/><target dev='vdb'/></disk>"),
			"  <devices>\n    <disk type='block' device='cdrom'>\n      <source dev='/x'/>\n      <target dev='vdb' bus='virtio'/>\n      <readonly/>\n    </disk>\n  </devices>\n"},
		{"usb", devices("<hostdev type='usb'><source><vendor id='0x1'/></source></hostdev>"),
			"  <devices>\n    <hostdev mode='subsystem' type='usb' managed='no'>\n      <source>\n        <vendor id='0x1'/>\n      </source>\n    </hostdev>\n  </devices>\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := strings.ReplaceAll(strings.ReplaceAll(test.want, "  <devices>\n", ""), "  </devices>\n", "")
			assert.Equal(t, want, strings.ReplaceAll(strings.ReplaceAll(inside(t, test.document), "  <devices>\n", ""), "  </devices>\n", ""))
		})
	}
}

// TestNothingIsLost puts what no field stands for everywhere it can stand.
func TestNothingIsLost(t *testing.T) {
	document := `<domain type='lxc' new='r' xmlns:z='urn:z'>
  <name n='1'>a</name>
  <uuid>11111111-2222-3333-4444-555555555555</uuid>
  <z:root z:a='1'><inner xmlns='urn:other'/></z:root>
  <memory unit='KiB' z:kind='x'>1000</memory>
  <sysinfo type='smbios'><bios><entry name='vendor'>x &amp; y</entry></bios></sysinfo>
  <os seen='yes'><boot dev='hd'/><type machine='m'>exe</type><init>/i</init><loader>/l</loader><initarg p='q'>x</initarg><initarg r='s'>y</initarg></os>
  <idmap><uid start='1000' target='9' count='1' second='1'/><uid start='0' target='1' count='1' first='1'/><gid start='0' target='1' count='1'/></idmap>
  <mixed>one <b>two</b> three</mixed>
  <devices more='1'>
    <filesystem extra='1'><source dir='/s' startupPolicy='optional'/><target dir='/'/></filesystem>
    <gadget/>
    <sound model='ich6'/>
  </devices>
</domain>`
	want := `<domain type='lxc' new='r'>
  <name n='1'>a</name>
  <uuid>11111111-2222-3333-4444-555555555555</uuid>
  <memory unit='KiB' xmlns:z='urn:z' z:kind='x'>1000</memory>
  <currentMemory unit='KiB'>1000</currentMemory>
  <vcpu placement='static'>1</vcpu>
  <sysinfo type='smbios'>
    <bios>
      <entry name='vendor'>x &amp; y</entry>
    </bios>
  </sysinfo>
  <os seen='yes'>
    <type arch='x86_64' machine='m'>exe</type>
    <init>/i</init>
    <initarg p='q'>x</initarg>
    <initarg r='s'>y</initarg>
    <loader>/l</loader>
    <boot dev='hd'/>
  </os>
  <idmap>
    <uid start='0' target='1' count='1' first='1'/>
    <uid start='1000' target='9' count='1' second='1'/>
    <gid start='0' target='1' count='1'/>
  </idmap>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices more='1'>
    <emulator>/usr/lib/libvirt/libvirt_lxc</emulator>
    <filesystem type='mount' accessmode='passthrough' extra='1'>
      <source dir='/s' startupPolicy='optional'/>
      <target dir='/'/>
    </filesystem>
    <sound model='ich6'/>
    <gadget/>
  </devices>
  <z:root xmlns:z='urn:z' z:a='1'>
    <inner xmlns='urn:other'/>
  </z:root>
  <mixed>one <b>two</b> three</mixed>
</domain>
`
	codec := newCodec()
	def, err := codec.Parse(document)
	require.NoError(t, err)
	assert.Equal(t, want, codec.Format(def, inactive))
	again, err := codec.Parse(want)
	require.NoError(t, err)
	assert.Equal(t, def, again)
	assert.Empty(t, def.Unserved)
}

// TestSecondOnes: of an element that may stand once the first counts, and no
// second can take its place later.
func TestSecondOnes(t *testing.T) {
	codec := newCodec()
	def, err := codec.Parse(body("<title>one</title><title>two</title><name>other</name><resource><partition>/a</partition></resource><resource/>"))
	require.NoError(t, err)
	assert.Equal(t, "one", def.Title)
	assert.Equal(t, "a", def.Name)
	def.Title = ""
	def.Partition = ""
	printed := codec.Format(def, inactive)
	assert.NotContains(t, printed, "two")
	assert.NotContains(t, printed, "other")
	assert.NotContains(t, printed, "resource")
}

// TestStolenPlace: a leftover of an element that is gone goes with it.
func TestStolenPlace(t *testing.T) {
	codec := newCodec()
	def, err := codec.Parse(sketch{os: "<type>exe</type><init>/i</init><initarg>a</initarg><initarg x='1'>b</initarg>"}.String())
	require.NoError(t, err)
	def = def.Clone()
	def.Init.Args = def.Init.Args[:1]
	printed := codec.Format(def, inactive)
	assert.NotContains(t, printed, "x='1'")
	_, err = codec.Parse(printed)
	require.NoError(t, err)
}

func TestUnserved(t *testing.T) {
	for _, test := range []struct {
		document string
		want     []string
	}{
		{devices("<disk type='block'><source dev='/x'/><target dev='vda'/></disk>"), []string{"disk 'vda'"}},
		{devices("<hostdev mode='capabilities' type='misc'><source><char>/c</char></source></hostdev>"), []string{"hostdev 'misc'"}},
		{devices("<filesystem type='block'><source dev='/x'/><target dir='/t'/></filesystem>"), []string{"filesystem type 'block'"}},
		{devices("<interface type='network'><source network='n'/></interface><interface type='network'><source network='n'/></interface>"),
			[]string{"interface type 'network'"}},
		{devices(bridge + "<filterref filter='f'/></interface>"), []string{"filterref of an interface"}},
		{body("<seclabel type='dynamic' model='selinux'/>"), []string{"seclabel 'selinux'"}},
		{body("<seclabel type='none' model='selinux'/>"), nil},
		{body("<vcpu placement='auto'>1</vcpu>"), []string{"vcpu placement 'auto'"}},
		{body("<clock offset='localtime'><timer name='rtc'/></clock>"), []string{"timer 'rtc'"}},
		{body("<clock offset='utc'><timer name='rtc'/></clock>"), nil},
		{sharing("<n:sharenet type='pid' value='1'/>"), []string{"lxc:namespace sharing"}},
		{body("<sysinfo type='smbios'/><cpu/><memoryBacking><locked/></memoryBacking>"), nil},
		{devices("<sound model='ich6'/><memballoon model='none'/><channel type='pty'><target type='virtio'/></channel><serial/><console/>"), nil},
	} {
		def, err := newCodec().Parse(test.document)
		require.NoError(t, err, test.document)
		assert.Equal(t, test.want, def.Unserved, test.document)
	}
}

func TestStoredDocumentsTellWhatWasDrawn(t *testing.T) {
	nameless := strings.Replace(devices(bridge+"</interface>"), "<uuid>11111111-2222-3333-4444-555555555555</uuid>", "", 1)
	for document, want := range map[string]ports.Drawn{
		devices(""):                      {},
		devices(bridge + "</interface>"): {},
		devices("<interface type='bridge'><source bridge='b'/></interface>"): {Addresses: true},
		nameless:                              {UUID: true},
		strings.Replace(nameless, mac, "", 1): {UUID: true, Addresses: true},
	} {
		codec := newCodec()
		def, drawn, err := codec.ParseStored(document)
		require.NoError(t, err)
		assert.Equal(t, want, drawn, document)
		parsed, err := codec.Parse(document)
		require.NoError(t, err)
		assert.Equal(t, parsed, def)
		_, again, err := codec.ParseStored(codec.Format(def, inactive))
		require.NoError(t, err)
		assert.Zero(t, again)
	}
	_, _, err := newCodec().ParseStored("<domain/>")
	require.Error(t, err)
}
