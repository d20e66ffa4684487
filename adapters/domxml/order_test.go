package domxml_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// printedOrder is the order in which readers expect what stands in a parent;
// every piece is sound on its own.
var printedOrder = map[string][]string{
	"domain": strings.Split(`<genid>x</genid>|<title>t</title>|<description>d</description>|<memoryBacking><locked/></memoryBacking>|<iothreads>1</iothreads>|
<cputune><shares>5</shares></cputune>|<numatune><memory mode='strict'/></numatune>|<resource><partition>/p</partition></resource>|<sysinfo type='smbios'/>|
<bootloader>/b</bootloader>|<idmap><uid start='0' target='1' count='1'/><gid start='0' target='1' count='1'/></idmap>|<features><acpi/></features>|<cpu/>|
<clock offset='localtime'/>|<on_poweroff>destroy</on_poweroff>|<on_reboot>destroy</on_reboot>|<on_crash>destroy</on_crash>|
<on_lockfailure>ignore</on_lockfailure>|<pm/>|<perf/>|<seclabel type='none' model='none'/>|<keywrap/>|<launchSecurity/>`, "|"),
	"os": strings.Split(`<initdir>/</initdir>|<inituser>u</inituser>|<initgroup>g</initgroup>|<loader>l</loader>|<nvram>n</nvram>|<kernel>k</kernel>|
<initrd>i</initrd>|<cmdline>c</cmdline>|<other/>`, "|"),
	"devices": strings.Split(`<emulator>/e</emulator>|<controller type='usb' index='0'/>|<lease/>|
<filesystem type='mount' accessmode='passthrough'><source dir='/s'/><target dir='/'/></filesystem>|<serial type='pty'><target port='0'/></serial>|
<parallel type='pty'><target port='0'/></parallel>|<console type='pty'><target type='lxc' port='0'/></console>|
<channel type='pty'><target type='zz'/></channel>|<tpm/>|<sound/>|<audio/>|<video><model type='v'/></video>|<hub/>|<watchdog/>|<memballoon model='none'/>|
<rng/>|<nvram/>|<panic/>|<shmem/>|<iommu/>|<vsock/>|<other/>`, "|"),
	"interface": strings.Split(`<mac address='52:54:00:00:00:01'/>|<source bridge='b'/>|<vlan/>|<virtualport/>|<bandwidth/>|<port isolated='yes'/>|
<ip address='10.0.0.1' family='ipv4'/>|<route address='0.0.0.0' gateway='1.2.3.4'/>|<script/>|<target dev='h'/>|<guest dev='g'/>|<model/>|<driver/>|<backend/>|
<filterref/>|<tune/>|<teaming/>|<link state='up'/>|<mtu size='9'/>|<coalesce/>|<boot/>|<rom/>|<acpi/>|<other/>|<address/>`, "|"),
	"disk": strings.Split(`<driver/>|<auth/>|<source file='/f'/>|<backingStore/>|<geometry/>|<blockio/>|<mirror/>|<target dev='vda' bus='virtio'/>|<iotune/>|
<readonly/>|<shareable/>|<transient/>|<serial>s</serial>|<wwn/>|<vendor/>|<product/>|<encryption/>|<boot/>|<other/>|<address/>`, "|"),
	"features": strings.Split(`<acpi/>|<apic/>|<pae/>|<hap state='on'/>|<viridian/>|<privnet/>|<hyperv/>|<kvm/>|<capabilities policy='allow'/>|<pmu/>|<gic/>`, "|"),
	"cputune": strings.Split(`<shares>5</shares>|<period>5000</period>|<quota>5000</quota>|<global_period/>|<global_quota/>|<emulator_period/>|
<emulator_quota/>|<vcpupin/>|<emulatorpin/>|<iothreadpin/>|<other/>`, "|"),
}

var placed = map[string]func(string) string{
	"domain":  body,
	"os":      func(text string) string { return sketch{os: "<type>exe</type><init>/i</init>" + text}.String() },
	"devices": devices,
	"interface": func(text string) string {
		return devices("<interface type='bridge'>" + text + "</interface>")
	},
	"disk":     func(text string) string { return devices("<disk type='file' device='disk'>" + text + "</disk>") },
	"features": func(text string) string { return body("<features>" + text + "</features>") },
	"cputune":  func(text string) string { return body("<cputune>" + text + "</cputune>") },
}

// TestOrder shuffles what stands in a parent: whatever order it is written in,
// it is printed in the one order that readers know.
func TestOrder(t *testing.T) {
	for parent, pieces := range printedOrder {
		t.Run(parent, func(t *testing.T) {
			var names []*regexp.Regexp
			for i, piece := range pieces {
				pieces[i] = strings.TrimSpace(piece)
				names = append(names, regexp.MustCompile(regexp.MustCompile(`^<\w+`).FindString(pieces[i])+"[ />]"))
			}
			rapid.Check(t, func(t *rapid.T) {
				codec := newCodec()
				shuffled := rapid.Permutation(pieces).Draw(t, "pieces")
				def, err := codec.Parse(placed[parent](strings.Join(shuffled, "\n")))
				require.NoError(t, err)
				printed := codec.Format(def, inactive)
				_, inner, _ := strings.Cut(printed, "<"+parent)
				for i, name := range names {
					place := name.FindStringIndex(inner)
					require.NotNil(t, place, "no %s after %s in\n%s", name, names[max(i-1, 0)], printed)
					inner = inner[place[1]:]
				}
				flat := regexp.MustCompile(`>\s+<`).ReplaceAllString(printed, "><")
				for _, piece := range pieces {
					require.Contains(t, flat, piece, "as it was written")
				}
			})
		})
	}
}

// TestListsKeepTheirOrder: elements of one name stay as they were written,
// wherever others stand between them.
func TestListsKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := []string{"<initarg>1</initarg>", "<initarg>2</initarg>", "<initarg>3</initarg>", "<initenv name='A'>1</initenv>", "<initenv name='A'>2</initenv>", "<x i='1'/>", "<x i='2'/>"}
		shuffled := rapid.Permutation(pieces).Draw(t, "pieces")
		codec := newCodec()
		def, err := codec.Parse(sketch{os: "<type>exe</type><init>/i</init>" + strings.Join(shuffled, "<!-- -->")}.String())
		require.NoError(t, err)
		printed := codec.Format(def, inactive)
		for _, kind := range []string{"<initarg", "<initenv", "<x"} {
			var want, got []string
			for _, piece := range shuffled {
				if strings.HasPrefix(piece, kind) {
					want = append(want, piece)
				}
			}
			for line := range strings.Lines(printed) {
				if line = strings.TrimSpace(line); slices.Contains(pieces, line) && strings.HasPrefix(line, kind) {
					got = append(got, line)
				}
			}
			require.Equal(t, want, got)
		}
	})
}

// TestCapabilitiesAreSorted by name, and of one that stands twice the last counts.
func TestCapabilitiesAreSorted(t *testing.T) {
	def, err := newCodec().Parse(body("<features><capabilities><sys_time/><chown state='off'/><!-- --><mknod/><chown/><kill state='off'/></capabilities></features>"))
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"sys_time": true, "chown": true, "mknod": true, "kill": false}, def.Capabilities.States)
	assert.Contains(t, newCodec().Format(def, inactive), `
    <capabilities policy='default'>
      <chown state='on'/>
      <kill state='off'/>
      <mknod state='on'/>
      <sys_time state='on'/>
    </capabilities>
`)
}
