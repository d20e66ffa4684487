package domxml_test

import (
	"encoding/xml"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// escaped makes any text fit for an attribute or an element.
func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

func memoryOf(value, unit string) string {
	return sketch{memory: "<memory unit='" + escaped(unit) + "'>" + escaped(value) + "</memory>"}.String()
}

// TestUnits: the letter gives the power, what follows it the base.
func TestUnits(t *testing.T) {
	const (
		ki = 1024
		mi = ki * ki
		gi = ki * mi
	)
	for unit, want := range map[string]uint64{ // KiB of 3000 of them, rounded up
		"b": 3, "byte": 3, "bytes": 3, "B": 3, "BYTES": 3, "": 3000,
		"k": 3000, "K": 3000, "KiB": 3000, "kib": 3000, "KB": 2930, "kb": 2930,
		"M": 3000 * ki, "MiB": 3000 * ki, "MB": 2929688,
		"G": 3000 * mi, "GiB": 3000 * mi, "GB": 2929687500,
		"T": 3000 * gi, "TiB": 3000 * gi, "TB": 2929687500000,
		"P": 3000 * gi * ki, "PiB": 3000 * gi * ki, "PB": 2929687500000000,
	} {
		def, err := newCodec().Parse(memoryOf("3000", unit))
		require.NoError(t, err, unit)
		assert.Equal(t, want, def.Memory, unit)
	}
	def, err := newCodec().Parse(memoryOf("7", "EiB"))
	require.NoError(t, err)
	assert.Equal(t, uint64(7)<<50, def.Memory)

	for _, unit := range []string{"q", "Ki", "KBB", "iB", "Bytes ", " KiB", "Kb ", "ZiB", "YB", "\u212a", "\u212aiB", "é", "MiBs", "0"} {
		_, err := newCodec().Parse(memoryOf("1", unit))
		require.ErrorIs(t, err, fault.InvalidArgument, unit)
		assert.ErrorContains(t, err, "unknown suffix '"+unit+"'")
	}
}

// FuzzMemory compares with arithmetic that cannot overflow.
func FuzzMemory(f *testing.F) {
	for _, value := range []string{"0", "1", "1023", "1024", "9223372036854775807", "9223372036854775808", "18446744073709551615",
		"18446744073709551616", "9007199254740991", "9007199254740992", "-1", "+1", "1.5", "0x10", "1e3", " 1", "1 ", "٣", "1_000", ""} {
		f.Add(value, "KiB")
		f.Add(value, "b")
		f.Add(value, "EB")
	}
	sizes := map[string]uint64{"b": 1, "KB": 1000, "KiB": 1 << 10, "MB": 1e6, "M": 1 << 20, "TiB": 1 << 40, "EB": 1e18, "EiB": 1 << 60}
	f.Fuzz(func(t *testing.T, value, unit string) {
		scale, known := sizes[unit]
		if !known || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0xfffd }) {
			return
		}
		def, err := newCodec().Parse(memoryOf(value, unit))
		whole, number := new(big.Int).SetString(value, 10)
		if !number || strings.Trim(value, "0123456789") != "" || !whole.IsUint64() {
			require.ErrorIs(t, err, fault.BadDefinition)
			return
		}
		bytes := new(big.Int).Mul(whole, new(big.Int).SetUint64(scale))
		switch {
		case !bytes.IsInt64():
			require.ErrorIs(t, err, fault.Overflow)
			require.EqualError(t, err, fmt.Sprintf("value too large: %s%s", whole, unit))
		case bytes.Sign() == 0:
			require.ErrorContains(t, err, "Memory size must be specified")
		default:
			require.NoError(t, err)
			assert.Equal(t, (bytes.Uint64()-1)/1024+1, def.Memory)
			assert.Equal(t, def.Memory, def.CurrentMemory)
		}
	})
}

func TestCPULists(t *testing.T) {
	for list, want := range map[string]string{
		"0": "0", "3,1,2": "1-3", "0-3,^2": "0-1,3", "^2,0-3": "0-3", "5,5,5": "5", "1-1": "1", " 1 ,\n2-3\t": "1-3",
		"16383": "16383", "0-16383": "0-16383", "007": "7", "0-1,3-4": "0-1,3-4", "8,0-7,^0": "1-8",
	} {
		def, err := newCodec().Parse(body("<vcpu cpuset='" + list + "'>1</vcpu>"))
		require.NoError(t, err, list)
		assert.Equal(t, want, def.CPUSet, list)
	}
	for _, list := range []string{"", ",", "1,", ",1", "1,,2", "-", "1-", "-1", "1-2-3", "^", "^1-2", "^^1", "16384", "0-16384", "4294967296", "+1", "1 2", "0x1", "1;2", "a"} {
		_, err := newCodec().Parse(body("<vcpu cpuset='" + list + "'>1</vcpu>"))
		require.ErrorIs(t, err, fault.InvalidArgument, list)
		assert.EqualError(t, err, "Failed to parse bitmap '"+list+"'")
	}
}

// FuzzCPUList: an accepted list becomes one that says the same, in one way
// only, and every number that is named on its own and not taken away is in it.
func FuzzCPUList(f *testing.F) {
	for _, list := range []string{"0-3,^2,8", "1", "5,4,3", "0-16383", "^1,1", "1-,2"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		def, err := newCodec().Parse(body("<vcpu cpuset='" + escaped(list) + "'>1</vcpu>"))
		if err != nil {
			return
		}
		again, err := newCodec().Parse(body("<vcpu cpuset='" + def.CPUSet + "'>1</vcpu>"))
		require.NoError(t, err, def.CPUSet)
		assert.Equal(t, def.CPUSet, again.CPUSet)
		last := -2
		for part := range strings.SplitSeq(def.CPUSet, ",") {
			first, end, ranged := strings.Cut(part, "-")
			from, err := strconv.Atoi(first)
			require.NoError(t, err)
			assert.Greater(t, from, last+1, "ascending, neighbours joined")
			last = from
			if ranged {
				last, err = strconv.Atoi(end)
				require.NoError(t, err)
				assert.Greater(t, last, from)
			}
		}
		if strings.Trim(list, "0123456789,") == "" {
			for part := range strings.SplitSeq(list, ",") {
				with, err := newCodec().Parse(body("<vcpu cpuset='" + def.CPUSet + "," + part + "'>1</vcpu>"))
				require.NoError(t, err)
				assert.Equal(t, def.CPUSet, with.CPUSet, "%s was in it", part)
			}
		}
	})
}

// TestBounds are the first and the last value that is taken, and what is not
// taken beside them.
func TestBounds(t *testing.T) {
	tune := func(name string) func(string) string {
		return func(value string) string {
			return body("<cputune><" + name + ">" + value + "</" + name + "></cputune>")
		}
	}
	limit := func(value string) string { return body("<memtune><hard_limit>" + value + "</hard_limit></memtune>") }
	port := func(value string) string { return devices("<serial><target port='" + value + "'/></serial>") }
	index := func(value string) string { return devices("<controller index='" + value + "'/>") }
	for name, test := range map[string]struct {
		document func(string) string
		good     []string
		bad      []string
		kind     fault.Kind
	}{
		"shares":  {tune("shares"), []string{"0", "2", "262144"}, []string{"1", "262145"}, fault.UnsupportedConfig},
		"period":  {tune("period"), []string{"0", "1000", "1000000"}, []string{"999", "1000001"}, fault.UnsupportedConfig},
		"quota":   {tune("quota"), []string{"0", "-1", "-9223372036854775808", "1000", "17592186044415"}, []string{"1", "999", "17592186044416"}, fault.UnsupportedConfig},
		"number":  {tune("shares"), nil, []string{"-2", "18446744073709551616", "2.0", "0x2", " 2"}, fault.BadDefinition},
		"quota 2": {tune("quota"), nil, []string{"9223372036854775808", "1e4"}, fault.BadDefinition},
		"limit":   {limit, []string{"0", "9007199254740990", "9007199254740991"}, []string{"9007199254740992", "18446744073709551615"}, fault.Overflow},
		"weight": {func(v string) string { return body("<blkiotune><weight>" + v + "</weight></blkiotune>") },
			[]string{"0", "1", "4294967295"}, []string{"-1", "4294967296"}, fault.BadDefinition},
		"vcpu":    {func(v string) string { return body("<vcpu>" + v + "</vcpu>") }, []string{"1", "4294967295"}, []string{"", "-1", "4294967296"}, fault.BadDefinition},
		"current": {func(v string) string { return body("<vcpu current='" + v + "'>5</vcpu>") }, []string{"1", "5"}, []string{"", "-1", "4294967296"}, fault.BadDefinition},
		"mtu": {func(v string) string { return devices(bridge + "<mtu size='" + v + "'/></interface>") },
			[]string{"0", "4294967295"}, []string{"", "-1", "4294967296"}, fault.BadDefinition},
		"prefix": {func(v string) string {
			return devices(bridge + "<ip address='10.0.0.1' prefix='" + v + "'/></interface>")
		},
			[]string{"", "0", "1", "32"}, []string{"33", "-1", "256", "288"}, fault.BadDefinition},
		"prefix 6": {func(v string) string {
			return devices(bridge + "<ip address='fd00::1' prefix='" + v + "'/></interface>")
		},
			[]string{"128"}, []string{"129"}, fault.BadDefinition},
		"route prefix": {func(v string) string { return route("address='0.0.0.0' gateway='1.2.3.4' prefix='" + v + "'") },
			[]string{"0", "32"}, []string{"", "33", "-1", "2147483648"}, fault.BadDefinition},
		"metric": {func(v string) string { return route("address='0.0.0.0' gateway='1.2.3.4' metric='" + v + "'") },
			[]string{"1", "4294967295"}, []string{"", "0", "-1", "4294967296"}, fault.BadDefinition},
		"console": {func(v string) string { return devices("<console><target port='" + v + "'/></console>") },
			[]string{"0", "4294967295"}, []string{"", "-1", "4294967296"}, fault.BadDefinition},
		"serial":     {port, []string{"", "0", "2147483647"}, []string{"zz", "-1", "2147483648"}, fault.BadDefinition},
		"controller": {index, []string{"", "0", "2147483647"}, []string{"zz", "-1", "2147483648"}, fault.BadDefinition},
		"idmap": {func(v string) string {
			return body("<idmap><uid start='0' target='" + v + "' count='1'/><gid start='0' target='1' count='1'/></idmap>")
		}, []string{"0", "4294967295"}, []string{"", "-1", "4294967296"}, fault.BadDefinition},
		"usage": {func(v string) string { return devices(ram(v, "")) }, []string{"0", "9007199254740991"}, []string{"9007199254740992"}, fault.Overflow},
	} {
		for _, value := range test.good {
			def, err := newCodec().Parse(test.document(value))
			require.NoError(t, err, "%s %s", name, value)
			again, err := newCodec().Parse(newCodec().Format(def, inactive))
			require.NoError(t, err)
			assert.Equal(t, def, again, "%s %s", name, value)
		}
		for _, value := range test.bad {
			_, err := newCodec().Parse(test.document(value))
			assert.ErrorIs(t, err, test.kind, "%s %q", name, value)
		}
	}
	_, err := newCodec().Parse(devices("<serial><target port='2147483647'/></serial><serial/>"))
	require.EqualError(t, err, "Invalid port number: 2147483648", "there is no port after the last")
}

func ram(usage, units string) string {
	return "<filesystem type='ram'><source usage='" + usage + "' units='" + units + "'/><target dir='/t'/></filesystem>"
}

// TestSmallestMemoryFilesystem: zero is no limit for the kernel, so nothing
// else may become zero.
func TestSmallestMemoryFilesystem(t *testing.T) {
	for _, test := range []struct {
		usage, units string
		want         uint64
	}{{"0", "", 0}, {"1", "bytes", 1}, {"1023", "bytes", 1}, {"1024", "bytes", 1}, {"2047", "bytes", 1}, {"2", "", 2}, {"1", "KB", 1}} {
		def, err := newCodec().Parse(devices(ram(test.usage, test.units)))
		require.NoError(t, err)
		assert.Equal(t, test.want, def.Filesystems[0].Usage, test.usage+test.units)
	}
}

// TestZeroIsNotSet: of the tunables for which zero means the default no trace
// is kept; a memory limit of zero is one.
func TestZeroIsNotSet(t *testing.T) {
	def, err := newCodec().Parse(body("<cputune><shares>0</shares><period>0</period><quota>0</quota></cputune><blkiotune><weight>0</weight></blkiotune>" +
		"<memtune><hard_limit>0</hard_limit><soft_limit>9007199254740991</soft_limit><min_guarantee>9007199254740991</min_guarantee></memtune>"))
	require.NoError(t, err)
	zero := uint64(0)
	want := (&container.Definition{}).Limits
	want.MemoryHard = &zero
	assert.Equal(t, want, def.Limits)
	assert.NotContains(t, newCodec().Format(def, inactive), "min_guarantee")
}
