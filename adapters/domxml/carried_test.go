package domxml_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

func blockDisk(target, more string) string {
	return "<disk type='block'><source dev='/x'/><target " + target + "/>" + more + "</disk>"
}

// printedDevices are the lines inside <devices>, without indentation and
// without the emulator.
func printedDevices(t *testing.T, text string) []string {
	t.Helper()
	codec := newCodec()
	def, err := codec.Parse(devices(text))
	require.NoError(t, err, text)
	printed := codec.Format(def, inactive)
	again, err := codec.Parse(printed)
	require.NoError(t, err, printed)
	require.Equal(t, def, again, printed)
	_, inner, _ := strings.Cut(printed, "</emulator>\n")
	inner, _, _ = strings.Cut(inner, "  </devices>")
	var lines []string
	for line := range strings.Lines(inner) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// TestDriveAddresses: the letters of the target count the units of a
// controller, and every controller that an address names is there.
func TestDriveAddresses(t *testing.T) {
	for _, test := range []struct{ target, bus, address, controllers string }{
		{"hda", "ide", "0 0 0 0", "ide 0"},
		{"hdb", "ide", "0 0 0 1", "ide 0"},
		{"hdc", "ide", "0 1 0 0", "ide 0"},
		{"hdd", "ide", "0 1 0 1", "ide 0"},
		{"hde", "ide", "1 0 0 0", "ide 0, ide 1"},
		{"sda", "scsi", "0 0 0 0", "scsi 0"},
		{"sdg", "scsi", "0 0 0 6", "scsi 0"},
		{"sdh", "scsi", "1 0 0 0", "scsi 0, scsi 1"},
		{"sdz", "scsi", "3 0 0 4", "scsi 0, scsi 1, scsi 2, scsi 3"},
		{"sdaa", "scsi", "3 0 0 5", "scsi 0, scsi 1, scsi 2, scsi 3"},
		{"sda1", "scsi", "0 0 0 0", "scsi 0"},
		{"vda", "virtio", "", ""},
		{"xvda", "xen", "", ""},
		{"ubda", "uml", "", ""},
	} {
		printed := strings.Join(printedDevices(t, blockDisk("dev='"+test.target+"'", "")), "\n")
		assert.Contains(t, printed, "<target dev='"+test.target+"' bus='"+test.bus+"'/>")
		var address, controllers []string
		for _, m := range regexp.MustCompile(`<address type='drive' controller='(\d+)' bus='(\d+)' target='(\d+)' unit='(\d+)'/>`).FindAllStringSubmatch(printed, -1) {
			address = append(address, strings.Join(m[1:], " "))
		}
		for _, m := range regexp.MustCompile(`<controller type='([^']*)' index='(\d+)'/>`).FindAllStringSubmatch(printed, -1) {
			controllers = append(controllers, strings.Join(m[1:], " "))
		}
		assert.Equal(t, test.address, strings.Join(address, ", "), test.target)
		assert.Equal(t, test.controllers, strings.Join(controllers, ", "), test.target)
	}
	for _, target := range []string{"sd", "sd1", "sdaaa", "sdA", "sd-a", "hdé", "sda1b"} {
		_, err := newCodec().Parse(devices(blockDisk("dev='"+target+"'", "")))
		require.ErrorIs(t, err, fault.Internal, target)
		assert.EqualError(t, err, "Invalid harddisk device name: "+target)
	}
}

// TestWrittenAddresses stay; what a drive address leaves out is zero.
func TestWrittenAddresses(t *testing.T) {
	assert.Equal(t, []string{
		"<disk type='block' device='disk'>", "<source dev='/x'/>", "<target dev='sda' bus='scsi'/>",
		"<address type='drive' controller='2' bus='0' target='0' unit='3'/>", "</disk>",
		"<controller type='scsi' index='0'/>", "<controller type='scsi' index='1'/>", "<controller type='scsi' index='2'/>",
	}, printedDevices(t, blockDisk("dev='sda'", "<address type='drive' controller='2' unit='3'/>")))
	assert.Equal(t, []string{
		"<disk type='block' device='disk'>", "<source dev='/x'/>", "<target dev='strange'/>", "<address type='pci' slot='3'/>", "</disk>",
	}, printedDevices(t, blockDisk("dev='strange'", "<address slot='3' type='pci'/>")), "a name needs no known beginning then")
	assert.Equal(t, []string{
		"<disk type='block' device='floppy'>", "<source dev='/x'/>", "<target dev='fdb' bus='fdc'/>",
		"<address type='drive' controller='0' bus='0' target='0' unit='1'/>", "</disk>", "<controller type='fdc' index='0'/>",
	}, printedDevices(t, "<disk type='block' device='floppy'><source dev='/x'/><target dev='fdb'/></disk>"))
	// An index that is absurd makes no thousands of controllers.
	assert.Len(t, printedDevices(t, blockDisk("dev='sda'", "<address type='drive' controller='999999999'/>")), 5)
}

func TestControllers(t *testing.T) {
	for text, want := range map[string][]string{
		"<controller/>":                                            {"<controller type='ide' index='0'/>"},
		"<controller index='3'/><controller/>":                     {"<controller type='ide' index='3'/>", "<controller type='ide' index='4'/>"},
		"<controller type='usb'/><controller type='scsi'/>":        {"<controller type='usb' index='0'/>", "<controller type='scsi' index='0'/>"},
		"<controller model='m' index='07' type='usb'/>":            {"<controller type='usb' index='7' model='m'/>"},
		"<controller type='virtio-serial'><driver/></controller>":  {"<controller type='virtio-serial' index='0'>", "<driver/>", "</controller>"},
		"<smartcard mode='host'/>":                                 {"<controller type='ccid' index='0'/>", "<smartcard mode='host'/>"},
		"<controller type='ccid' index='0'/><smartcard mode='h'/>": {"<controller type='ccid' index='0'/>", "<smartcard mode='h'/>"},
		"<!-- kept? --><sound model='a'/>":                         {"<sound model='a'/>"},
	} {
		assert.Equal(t, want, printedDevices(t, text), text)
	}
	_, err := newCodec().Parse(devices("<controller type='usb' index='x'/>"))
	require.EqualError(t, err, "Invalid value for attribute 'index' in element 'controller': 'x'. Expected non-negative integer value")
}

func TestPortsAreNumbered(t *testing.T) {
	ports := func(name string, written ...string) string {
		text := ""
		for _, port := range written {
			text += "<" + name + ">"
			if port != "-" {
				text += "<target port='" + port + "'/>"
			}
			text += "</" + name + ">"
		}
		var got []string
		for _, m := range regexp.MustCompile(`port='(\d+)'`).FindAllStringSubmatch(strings.Join(printedDevices(t, text), ""), -1) {
			got = append(got, m[1])
		}
		return strings.Join(got, " ")
	}
	for _, name := range []string{"serial", "parallel"} {
		assert.Equal(t, "0 1 2", ports(name, "-", "-", ""), name)
		assert.Equal(t, "5 6 2 7", ports(name, "5", "-", "2", "-"), name)
	}
	assert.Equal(t, "0 1 2", ports("console", "9", "9", "-"), "those of consoles are their places")
	_, err := newCodec().Parse(devices("<parallel><target port='zz'/></parallel>"))
	require.EqualError(t, err, "Invalid port number: zz")
}

func TestHostDevices(t *testing.T) {
	for _, kind := range []string{"usb", "pci", "scsi", "scsi_host", "mdev"} {
		def, err := newCodec().Parse(devices("<hostdev mode='subsystem' managed='yes' type='" + kind + "'><source/></hostdev>"))
		require.NoError(t, err, kind)
		assert.Equal(t, []string{"hostdev '" + kind + "'"}, def.Unserved)
		assert.Contains(t, newCodec().Format(def, inactive), "<hostdev mode='subsystem' type='"+kind+"' managed='yes'>")
	}
	for kind, part := range map[string]string{"misc": "char", "storage": "block", "net": "interface"} {
		lines := printedDevices(t, fmt.Sprintf("<hostdev mode='capabilities' type='%s'><source><%s>x</%s></source></hostdev>", kind, part, part))
		assert.Equal(t, "<hostdev mode='capabilities' type='"+kind+"'>", lines[0], "nobody manages it")
	}
	for inner, text := range map[string]string{
		"mode='subsystem' type='misc'><source/>":                         "unknown host device source address type 'misc'",
		"type='net'><source/>":                                           "unknown host device source address type 'net'",
		"mode='capabilities' type='usb'><source/>":                       "unknown host device source address type 'usb'",
		"mode='' type='usb'><source/>":                                   "unknown hostdev mode ''",
		"mode='subsystem' type=''><source/>":                             "missing source address type",
		"mode='subsystem' type='usb'>":                                   "Missing <source> element in hostdev device",
		"mode='capabilities' type='storage'><source><char>x</char>":      "Missing <block> element in hostdev block device",
		"mode='capabilities' type='net'><source><interface></interface>": "Missing <interface> element in hostdev net device",
	} {
		if strings.Contains(inner, "<source>") {
			inner += "</source>"
		}
		_, err := newCodec().Parse(devices("<hostdev " + inner + "</hostdev>"))
		assert.EqualError(t, err, text, inner)
	}
}

// TestWhatCannotBe: devices that no container can have are refused when they
// are defined, and so is a second disk under one name.
func TestWhatCannotBe(t *testing.T) {
	for text, kind := range map[string]fault.Kind{
		"<redirdev bus='usb' type='spicevmc'/>":                            fault.UnsupportedConfig,
		"<memory model='dimm'/>":                                           fault.UnsupportedConfig,
		"<video><model/></video>":                                          fault.Internal,
		"<input/>":                                                         fault.Internal,
		"<channel><target/></channel>":                                     fault.BadDefinition,
		"<channel type='zz'><target type='virtio'/></channel>":             fault.UnsupportedConfig,
		"<serial type='zz'/>":                                              fault.UnsupportedConfig,
		"<filesystem type='volume'><target dir='/t'/></filesystem>":        fault.NoSource,
		blockDisk("dev='vda'", "") + blockDisk("dev='vda' bus='scsi'", ""): fault.BadDefinition,
		"<disk type='block' device='cdrom'><target bus='ide'/></disk>":     fault.NoTarget,
		"<filesystem><space_hard_limit>x</space_hard_limit><source dir='/'/><target dir='/'/></filesystem>": fault.BadDefinition,
	} {
		_, err := newCodec().Parse(devices(text))
		assert.ErrorIs(t, err, kind, text)
	}
	for _, text := range []string{
		"<video><model type='vga'/></video>", "<memballoon model='none'/>", "<disk type='block' device='cdrom'><target dev='hda'/></disk>",
		"<disk type='network'><target dev='vda'/></disk>", "<q:input xmlns:q='u'/>", "<input xmlns='u'/>",
	} {
		_, err := newCodec().Parse(devices(text))
		assert.NoError(t, err, text)
	}
}
