package domxml_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// sketch fills a sound document with what a test is about.
type sketch struct{ attrs, memory, os, body, devices string }

func (s sketch) String() string {
	if s.memory == "" {
		s.memory = "<memory>1000</memory>"
	}
	if s.os == "" {
		s.os = "<type>exe</type><init>/i</init>"
	}
	return "<domain type='lxc'" + s.attrs + "><name>a</name><uuid>11111111-2222-3333-4444-555555555555</uuid>" +
		s.memory + "<os>" + s.os + "</os>" + s.body + "<devices>" + s.devices + "</devices></domain>"
}

func body(text string) string    { return sketch{body: text}.String() }
func devices(text string) string { return sketch{devices: text}.String() }

// bare is a sound document around name, type and uuid.
func bare(open, name string) string {
	return open + "<name>" + name + "</name><memory>1</memory><os><type>exe</type><init>/i</init></os></domain>"
}

const (
	mac     = "<mac address='52:54:00:00:00:01'/>"
	bridge  = "<interface type='bridge'><source bridge='b'/>" + mac
	lxcAttr = " xmlns:n='http://libvirt.org/schemas/domain/lxc/1.0'"
)

func sharing(text string) string {
	return sketch{attrs: lxcAttr, body: "<n:namespace>" + text + "</n:namespace>"}.String()
}

func repeat(format string, n int) string { return strings.Repeat(format, n) }

type rejection struct {
	name, document string
	kind           fault.Kind
	area           fault.Area
	text           string
}

// rejections are texts that clients see, with the kind and area that become
// code and origin of the error.
var rejections = []rejection{
	// 35/20: not well formed
	{"unclosed", "<a>", fault.Malformed, fault.API, "(domain_definition):1: Premature end of data in tag a line 1\n<a>\n---^"},
	{"empty", "", fault.Malformed, fault.API, "(domain_definition):1: Document is empty\n\n^"},
	{"mismatch", "<domain type='lxc'>\n\t<name>x</nam>\n</domain>", fault.Malformed, fault.API,
		"(domain_definition):2: Opening and ending tag mismatch: name line 2 and nam\n\t<name>x</nam>\n\t-------------^"},
	{"second root", "<domain type='lxc'/><b/>", fault.Malformed, fault.API,
		"(domain_definition):1: Extra content at the end of the document\n<domain type='lxc'/><b/>\n--------------------^"},
	{"text", "text", fault.Malformed, fault.API, "(domain_definition):1: Start tag expected, '<' not found\ntext\n^"},
	{"twice", "<domain type='lxc' type='b'/>", fault.Malformed, fault.API,
		"(domain_definition):1: Attribute type redefined\n<domain type='lxc' type='b'/>\n-----------------------------^"},
	{"control character", "<domain>\x01</domain>", fault.Malformed, fault.API,
		"(domain_definition):1: invalid character value 1\n<domain>\x01</domain>\n--------^"},
	{"not utf-8", "<domain>\xff</domain>", fault.Malformed, fault.API,
		"(domain_definition):1: Input is not proper UTF-8\n<domain>?</domain>\n--------^"},
	{"nul", "<domain>\x00</domain>", fault.Malformed, fault.API,
		"(domain_definition):1: invalid character value 0\n<domain>?</domain>\n--------^"},

	// root, name, type
	{"root", "<foo/>", fault.BadDefinition, fault.Document, "expecting root element of 'domain', not 'foo'"},
	{"no name", "<domain type='lxc'/>", fault.NoName, fault.API, "name missing"},
	{"empty name", "<domain type='lxc'><name/></domain>", fault.NoName, fault.API, "name missing"},
	{"slash", bare("<domain type='lxc'>", "a/b"), fault.BadDefinition, fault.API, "name a/b cannot contain '/'"},
	{"newline", bare("<domain type='lxc'>", "a\nb"), fault.Malformed, fault.Document, "invalid char in name: \n"},
	{"uuid", "<domain type='lxc'><name>a</name><uuid>zz</uuid></domain>", fault.Internal, fault.API, "malformed uuid element"},
	{"no type", bare("<domain>", "a"), fault.Internal, fault.API, "missing domain type attribute"},
	{"bad type", bare("<domain type='zz'>", "a"), fault.UnsupportedConfig, fault.API, "invalid domain type zz"},
	{"kvm", bare("<domain type='kvm'>", "a"), fault.InvalidArgument, fault.Capability,
		"could not find capabilities for ostype=exe arch=x86_64 domaintype=kvm "},
	{"title", body("<title>a\nb</title>"), fault.BadDefinition, fault.API, "Domain title can't contain newlines"},

	// memory
	{"no memory", sketch{memory: "<memory/>"}.String(), fault.BadDefinition, fault.API,
		"Memory size must be specified via <memory> or in the <numa> configuration"},
	{"memory 0", sketch{memory: "<memory>0</memory>"}.String(), fault.BadDefinition, fault.API,
		"Memory size must be specified via <memory> or in the <numa> configuration"},
	{"memory word", sketch{memory: "<memory>abc</memory>"}.String(), fault.BadDefinition, fault.Document,
		"Invalid value 'abc' for element or attribute './memory[1]'"},
	{"unit", sketch{memory: "<memory unit='q'>1</memory>"}.String(), fault.InvalidArgument, fault.Host, "unknown suffix 'q'"},
	{"unit of current", sketch{memory: "<memory>1</memory><currentMemory unit='zz'>1</currentMemory>"}.String(),
		fault.InvalidArgument, fault.Host, "unknown suffix 'zz'"},
	{"overflow", sketch{memory: "<memory unit='EiB'>99</memory>"}.String(), fault.Overflow, fault.Host, "value too large: 99EiB"},
	{"overflow 2", sketch{memory: "<memory unit='TiB'>99999999999999</memory>"}.String(), fault.Overflow, fault.Host,
		"value too large: 99999999999999TiB"},
	{"dumpCore", sketch{memory: "<memory dumpCore='x'>1</memory>"}.String(), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'dumpCore' in element 'memory': 'x'."},
	{"maxMemory", sketch{memory: "<maxMemory slots='2'>9</maxMemory><memory>1</memory>"}.String(), fault.UnsupportedConfig, fault.API,
		"memory hotplug tunables <maxMemory> are not supported by this hypervisor driver"},
	{"slots", sketch{memory: "<maxMemory>9</maxMemory><memory>1</memory>"}.String(), fault.BadDefinition, fault.API,
		"both maximum memory size and memory slot count must be specified"},

	// vcpu
	{"vcpu word", body("<vcpu>abc</vcpu>"), fault.BadDefinition, fault.API, "maximum vcpus count must be an integer"},
	{"vcpu 0", body("<vcpu>0</vcpu>"), fault.Internal, fault.API, "CPU IDs in <numa> exceed the <vcpu> count"},
	{"vcpu current", body("<vcpu current='3'>2</vcpu>"), fault.UnsupportedConfig, fault.API,
		"maximum vCPU count must not be less than current vCPU count"},
	{"vcpu current word", body("<vcpu current='x'>2</vcpu>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'current' in element 'vcpu': 'x'. Expected non-negative integer value"},
	{"placement", body("<vcpu placement='zz'>2</vcpu>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'placement' in element 'vcpu': 'zz'."},
	{"cpuset", body("<vcpu cpuset='x'>2</vcpu>"), fault.InvalidArgument, fault.Host, "Failed to parse bitmap 'x'"},
	{"cpuset empty", body("<vcpu cpuset=''>2</vcpu>"), fault.InvalidArgument, fault.Host, "Failed to parse bitmap ''"},
	{"cpuset far", body("<vcpu cpuset='20000'>2</vcpu>"), fault.InvalidArgument, fault.Host, "Failed to parse bitmap '20000'"},
	{"cpuset backwards", body("<vcpu cpuset='3-1'>2</vcpu>"), fault.InvalidArgument, fault.Host, "Failed to parse bitmap '3-1'"},
	{"cpuset none", body("<vcpu cpuset='^1'>2</vcpu>"), fault.UnsupportedConfig, fault.API, "Invalid value of 'cpuset': ^1"},

	// tuning
	{"shares", body("<cputune><shares>1</shares></cputune>"), fault.UnsupportedConfig, fault.API,
		"Value of cputune 'shares' must be in range [2, 262144]"},
	{"period", body("<cputune><period>5</period></cputune>"), fault.UnsupportedConfig, fault.API,
		"Value of cputune 'period' must be in range [1000, 1000000]"},
	{"quota", body("<cputune><quota>5</quota></cputune>"), fault.UnsupportedConfig, fault.API,
		"Value of cputune 'quota' must be in range [1000, 17592186044415]"},
	{"shares word", body("<cputune><shares>x</shares></cputune>"), fault.BadDefinition, fault.API, "can't parse cputune shares value"},
	{"period word", body("<cputune><period>x</period></cputune>"), fault.BadDefinition, fault.API, "can't parse cputune period value"},
	{"quota word", body("<cputune><quota>x</quota></cputune>"), fault.BadDefinition, fault.API, "can't parse cputune quota value"},
	{"hard limit", body("<memtune><hard_limit>x</hard_limit></memtune>"), fault.BadDefinition, fault.Document,
		"Invalid value 'x' for element or attribute './memtune/hard_limit[1]'"},
	{"hard limit unit", body("<memtune><hard_limit unit='q'>1</hard_limit></memtune>"), fault.InvalidArgument, fault.Host, "unknown suffix 'q'"},
	{"hard limit overflow", body("<memtune><hard_limit>9007199254740992</hard_limit></memtune>"), fault.Overflow, fault.Host,
		"value too large: 9007199254740992"},
	{"weight", body("<blkiotune><weight>x</weight></blkiotune>"), fault.BadDefinition, fault.API, "can't parse blkiotune weight value"},
	{"block device twice", body("<blkiotune><device><path>/dev/a</path></device><device><path>/dev/a</path></device></blkiotune>"),
		fault.UnsupportedConfig, fault.API, "duplicate blkio device path '/dev/a'"},
	{"block device path", body("<blkiotune><device><weight>1</weight></device></blkiotune>"), fault.UnsupportedConfig, fault.API,
		"missing per-device path"},
	{"numa mode", body("<numatune><memory mode='zz'/></numatune>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'mode' in element 'memory': 'zz'."},
	{"resource", body("<resource/>"), fault.BadDefinition, fault.API, "missing <partition> in <resource>"},

	// os
	{"no os type", sketch{os: "<init>/i</init>"}.String(), fault.BadDefinition, fault.API, "an os <type> must be specified"},
	{"no init", sketch{os: "<type>exe</type><init/>"}.String(), fault.BadDefinition, fault.API, "init binary must be specified"},
	{"hvm", sketch{os: "<type>hvm</type>"}.String(), fault.InvalidArgument, fault.Capability,
		"could not find capabilities for arch=x86_64 domaintype=lxc "},
	{"linux", sketch{os: "<type>linux</type>"}.String(), fault.InvalidArgument, fault.Capability,
		"could not find capabilities for ostype=linux arch=x86_64 domaintype=lxc "},
	{"arch unknown", sketch{os: "<type arch='zz'>exe</type><init>/i</init>"}.String(), fault.UnsupportedConfig, fault.API,
		"Unknown architecture zz"},
	{"arch other", sketch{os: "<type arch='ppc64'>exe</type><init>/i</init>"}.String(), fault.InvalidArgument, fault.Capability,
		"could not find capabilities for ostype=exe arch=ppc64 domaintype=lxc "},
	{"initarg", sketch{os: "<type>exe</type><init>/i</init><initarg/>"}.String(), fault.BadDefinition, fault.API,
		"No data supplied for <initarg> element"},
	{"initenv name", sketch{os: "<type>exe</type><init>/i</init><initenv>v</initenv>"}.String(), fault.BadDefinition, fault.API,
		"No name supplied for <initenv> element"},
	{"initenv value", sketch{os: "<type>exe</type><init>/i</init><initenv name='A'/>"}.String(), fault.BadDefinition, fault.API,
		"No value supplied for <initenv name='A'> element"},

	// idmap, features, clock, actions, labels
	{"uid only", body("<idmap><uid start='0' target='1' count='1'/></idmap>"), fault.UnsupportedConfig, fault.API,
		"uid and gid should be mapped both"},
	{"no root", body("<idmap><uid start='1' target='1' count='1'/><gid start='0' target='1' count='1'/></idmap>"),
		fault.UnsupportedConfig, fault.API, "You must map the root user of container"},
	{"id word", body("<idmap><uid start='x' target='1' count='1'/></idmap>"), fault.BadDefinition, fault.API,
		"invalid idmap start/target/count settings"},
	{"id missing", body("<idmap><uid start='0' target='1'/></idmap>"), fault.BadDefinition, fault.API,
		"invalid idmap start/target/count settings"},
	{"feature", body("<features><foo/></features>"), fault.UnsupportedConfig, fault.API, "unexpected feature 'foo'"},
	{"policy", body("<features><capabilities policy='zz'/></features>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'policy' in element 'capabilities': 'zz'."},
	{"capability", body("<features><capabilities><foo/></capabilities></features>"), fault.UnsupportedConfig, fault.API,
		"unexpected capability feature 'foo'"},
	{"capability state", body("<features><capabilities><chown state='zz'/></capabilities></features>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'state' in element 'chown': 'zz'."},
	{"clock", body("<clock offset='zz'/>"), fault.UnsupportedConfig, fault.API, "unknown clock offset 'zz'"},
	{"timezone", body("<clock offset='timezone'/>"), fault.Internal, fault.API, "missing 'timezone' attribute for clock with offset='timezone'"},
	{"timer", body("<clock><timer name='zz'/></clock>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'name' in element 'timer': 'zz'."},
	{"timer name", body("<clock><timer/></clock>"), fault.BadDefinition, fault.Document, "Missing required attribute 'name' in element 'timer'"},
	{"on_poweroff", body("<on_poweroff>zz</on_poweroff>"), fault.UnsupportedConfig, fault.API, "unknown on_poweroff action: zz"},
	{"on_reboot", body("<on_reboot>coredump-restart</on_reboot>"), fault.UnsupportedConfig, fault.API, "unknown on_reboot action: coredump-restart"},
	{"on_crash", body("<on_crash>zz</on_crash>"), fault.UnsupportedConfig, fault.API, "unknown on_crash action: zz"},
	{"label type", body("<seclabel type='zz'/>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'type' in element 'seclabel': 'zz'."},
	{"label model", body("<seclabel/>"), fault.BadDefinition, fault.API, "missing security model in domain seclabel"},
	{"label text", body("<seclabel type='static' model='selinux'/>"), fault.BadDefinition, fault.API, "security label is missing"},
	{"label twice", body("<seclabel type='none'/><seclabel type='none'/>"), fault.Malformed, fault.API,
		"seclabel for model none is already provided"},
}

func route(attrs string) string { return devices(bridge + "<route " + attrs + "/></interface>") }

func TestRejections(t *testing.T) {
	for _, test := range slices.Concat(rejections, deviceRejections) {
		t.Run(test.name, func(t *testing.T) {
			def, err := newCodec().Parse(test.document)
			require.Error(t, err)
			assert.Nil(t, def)
			var e *fault.Error
			require.True(t, errors.As(err, &e))
			assert.Equal(t, test.kind, e.Kind, e.Kind.Error())
			assert.Equal(t, test.area, e.Area)
			assert.Equal(t, test.text, e.Message())
		})
	}
}
