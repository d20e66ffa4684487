package domxml_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"virtlxcd/domain/container"
	"virtlxcd/domain/lifecycle"
)

var (
	bodyParts = []string{
		"<title>t</title>", "<metadata>text<q:a xmlns:q='u'> <b/> </q:a></metadata>", "<metadata/>", "<x y='1'><!-- c --> <z/></x>",
		"<memtune><min_guarantee>5</min_guarantee></memtune>", "<memtune><q/></memtune>", "<blkiotune z='1'><device><path>/d</path></device></blkiotune>",
		"<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>", "<numatune><memory/></numatune>", "<resource><partition p='1'>/a</partition><q/></resource>",
		"<idmap><gid start='0' target='1' count='1'/><uid start='5' target='1' count='1' a='1'/><uid start='0' target='1' count='1' b='2'/></idmap>",
		"<features><acpi/><hap/><privnet q='1'/></features>", "<features><capabilities r='1'><mknod q='1'/><chown/><mknod state='off'/></capabilities></features>",
		"<clock offset='localtime'><timer name='rtc'/></clock>", "<clock q='1'/>", "<clock><!-- c --></clock>", "<clock/>",
		"<seclabel type='none'/>", "<seclabel type='dynamic' model='m'/>", "<on_lockfailure>poweroff</on_lockfailure>", "<vcpu current='1'>3</vcpu>",
		"<vcpu placement='auto'>3</vcpu>", "<q:os xmlns:q='u'/>", "<name>two</name>", "<description>a<b/> c</description>", "<iothreads>2</iothreads>",
		"<n:namespace><n:sharenet type='pid' value='1'/></n:namespace>", "<n:other/>", "<undeclared:a/>", "text",
	}
	deviceParts = []string{
		"<console/>", "<console q='1'><alias name='ua-a'/><log file='/x'/></console>", "<console type='unix'><source mode='bind' path='/p'/></console>",
		"<console tty='/dev/pts/1'><source path='/dev/pts/1' x='1'/><target type='virtio'/></console>", "<serial/>", "<serial><target port='4'/></serial>",
		"<filesystem><source dir='/a'/><target dir='/'/><space_soft_limit>1</space_soft_limit></filesystem>",
		"<filesystem type='volume'><source pool='p' volume='v'/><target dir='/t'/></filesystem>", "<filesystem type='ram'><source usage='1' q='1'/><target dir='/t'/></filesystem>",
		bridge + "<target dev='vnet1'/><ip address='1.2.3.4' q='1'/><ip address='fd00::1'/></interface>", bridge + "<port isolated='no'/></interface>",
		"<interface type='ethernet'><source dev='q'><route address='0.0.0.0' gateway='1.2.3.4' a='1'/><ip address='1.2.3.4'/></source></interface>",
		"<interface type='user'><source a='b'/></interface>", "<interface type='direct'><source dev='e'/></interface>",
		"<disk><source file='/x'/><target dev='sdb'/></disk>", "<disk type='block'><target dev='vda'/><source dev='/x'/></disk>",
		"<controller/>", "<controller type='scsi' index='4'/>", "<hostdev type='usb'><source/></hostdev>", "<smartcard mode='host'/>",
		"<channel type='pty'><target type='virtio'/></channel>", "<emulator>/e</emulator>", "<sound model='a'/>", "<q><r/></q>", "<q xmlns='u'/>", "<!-- c -->",
	}
)

// TestCombinations prints any mixture of parts and reads it back, alone and
// in a status.
func TestCombinations(t *testing.T) {
	codec := newCodec()
	rapid.Check(t, func(t *rapid.T) {
		document := sketch{
			attrs:   lxcAttr + rapid.SampledFrom([]string{"", " a='1'", " n:a='1'", " xmlns:lxc='u' lxc:a='1'", " xmlns:q='v'"}).Draw(t, "attrs"),
			body:    strings.Join(rapid.SliceOfN(rapid.SampledFrom(bodyParts), 0, 8).Draw(t, "body"), ""),
			devices: strings.Join(rapid.SliceOfN(rapid.SampledFrom(deviceParts), 0, 8).Draw(t, "devices"), " "),
		}.String()
		def, err := codec.Parse(document)
		if err != nil {
			t.Skip(err)
		}
		printed := codec.Format(def, inactive)
		again, err := codec.Parse(printed)
		require.NoError(t, err, printed)
		require.Equal(t, def, again, printed)

		status := &container.Status{ID: 5, State: lifecycle.Running, Definition: def}
		kept, err := codec.ParseStatus(codec.FormatStatus(status))
		require.NoError(t, err)
		require.Equal(t, status, kept)
	})
}
