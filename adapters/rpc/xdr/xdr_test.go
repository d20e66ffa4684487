package xdr

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	require.NoError(t, err)
	return b
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// TestBothWays encodes and decodes every kind of value.
func TestBothWays(t *testing.T) {
	cases := []struct {
		wire   string
		got    []byte
		decode func(d *Decoder) any
		want   any
	}{
		{"00000001", AppendUint32(nil, 1), func(d *Decoder) any { return d.Uint32() }, uint32(1)},
		{"ffffffff", AppendInt32(nil, -1), func(d *Decoder) any { return d.Int32() }, int32(-1)},
		{"00000001 00000002", AppendUint64(nil, 1<<32|2), func(d *Decoder) any { return d.Uint64() }, uint64(1<<32 | 2)},
		{"ffffffff fffffffe", AppendInt64(nil, -2), func(d *Decoder) any { return d.Int64() }, int64(-2)},
		{"3ff80000 00000000", AppendFloat64(nil, 1.5), func(d *Decoder) any { return d.Float64() }, 1.5},
		{"7ff00000 00000000", AppendFloat64(nil, math.Inf(1)), func(d *Decoder) any { return d.Float64() }, math.Inf(1)},
		{"00000001", AppendBool(nil, true), func(d *Decoder) any { return d.Bool() }, true},
		{"00000000", AppendBool(nil, false), func(d *Decoder) any { return d.Bool() }, false},
		{"00000000", must(AppendString(nil, "", 4)), func(d *Decoder) any { return d.String(4) }, ""},
		{"00000003 61626300", must(AppendString(nil, "abc", 4)), func(d *Decoder) any { return d.String(4) }, "abc"},
		{"00000004 61626364", must(AppendString(nil, "abcd", 4)), func(d *Decoder) any { return d.String(4) }, "abcd"},
		{"00000005 61626364 65000000", must(AppendString(nil, "abcde", 5)), func(d *Decoder) any { return d.String(5) }, "abcde"},
		{"00000002 01000000", must(AppendOpaque(nil, []byte{1, 0}, 2)), func(d *Decoder) any { return d.Opaque(2) }, []byte{1, 0}},
		{"00000000", must(AppendOpaque(nil, nil, 2)), func(d *Decoder) any { return d.Opaque(2) }, []byte(nil)},
		{"01020300", AppendFixed(nil, []byte{1, 2, 3}), func(d *Decoder) any { var p [3]byte; d.Fixed(p[:]); return p }, [3]byte{1, 2, 3}},
		{"00000061 ffffffff", AppendChars(nil, []byte{'a', 0xff}), func(d *Decoder) any { var p [2]byte; d.Chars(p[:]); return p }, [2]byte{'a', 0xff}},
		{"00000002", must(AppendCount(nil, 2, 2)), func(d *Decoder) any { return d.Count(2, 0) }, 2},
	}
	for _, c := range cases {
		assert.Equal(t, unhex(t, c.wire), c.got)
		d := NewDecoder(append(c.got, "rest"...))
		assert.Equal(t, c.want, c.decode(d), c.wire)
		assert.NoError(t, d.Err())
		assert.Equal(t, 4, d.Remaining(), c.wire)
		assert.Equal(t, "rest", string(d.Rest()))
	}
}

func TestForeignHabits(t *testing.T) {
	d := NewDecoder(unhex(t, "01000000 00000002 7a7a4142 00000004 63007031 00000002 00000061 ffffff62"))
	assert.True(t, d.Bool(), "reversed discriminator")
	assert.Equal(t, "zz", d.String(10), "padding that is not zero")
	assert.Equal(t, "c", d.String(10), "NUL inside")
	assert.Equal(t, "ab", string(d.CharList(2)), "wide chars")
	assert.NoError(t, d.Err())
	assert.Zero(t, d.Remaining())
}

func TestRefusals(t *testing.T) {
	cases := []struct {
		name, wire string
		decode     func(d *Decoder)
		want       error
	}{
		{"no unit", "000000", func(d *Decoder) { d.Uint32() }, ErrShort},
		{"half a hyper", "00000000", func(d *Decoder) { d.Uint64() }, ErrShort},
		{"string over its maximum", "00000005 61626364 65000000", func(d *Decoder) { d.String(4) }, ErrTooLong},
		{"string beyond the data", "00000064 61626364", func(d *Decoder) { d.String(200) }, ErrShort},
		{"string without its padding", "00000003 616263", func(d *Decoder) { d.String(4) }, ErrShort},
		{"string of four gigabytes", "ffffffff 61626364", func(d *Decoder) { d.String(math.MaxInt) }, ErrShort},
		{"opaque over its maximum", "00000005 61626364 65000000", func(d *Decoder) { d.Opaque(4) }, ErrTooLong},
		{"opaque beyond the data", "00000005 61626364", func(d *Decoder) { d.Opaque(9) }, ErrShort},
		{"fixed", "0102", func(d *Decoder) { d.Fixed(make([]byte, 2)) }, ErrShort},
		{"chars", "00000061", func(d *Decoder) { d.Chars(make([]byte, 2)) }, ErrShort},
		{"char list", "00000002 00000061", func(d *Decoder) { d.CharList(9) }, ErrShort},
		{"list over its maximum", "00000003", func(d *Decoder) { d.Count(2, 0) }, ErrTooLong},
		{"list beyond the data", "00000003 00000000 00000000", func(d *Decoder) { d.Count(9, 4) }, ErrShort},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder(unhex(t, c.wire))
			c.decode(d)
			assert.ErrorIs(t, d.Err(), c.want)
			assert.Zero(t, d.Remaining())
			assert.Zero(t, d.Uint32())
			assert.Empty(t, d.String(10))
			assert.Nil(t, d.Opaque(10))
			assert.ErrorIs(t, d.Err(), c.want, "the first error stays")
		})
	}
	_, err := AppendString(nil, "abcde", 4)
	assert.ErrorIs(t, err, ErrTooLong)
	_, err = AppendOpaque(nil, make([]byte, 5), 4)
	assert.ErrorIs(t, err, ErrTooLong)
	_, err = AppendCount(nil, 5, 4)
	assert.ErrorIs(t, err, ErrTooLong)
}

func TestFailedReadsLeaveTheTarget(t *testing.T) {
	p := [4]byte{1, 2, 3, 4}
	d := NewDecoder([]byte{9, 9})
	d.Fixed(p[:])
	d.Chars(p[:])
	assert.Equal(t, [4]byte{1, 2, 3, 4}, p)
}

func TestResults(t *testing.T) {
	data := unhex(t, "00000004 61626364 00000004 61626364")
	d := NewDecoder(data)
	s, p := d.String(4), d.Opaque(4)
	clear(data)
	assert.Equal(t, "abcd", s, "shares nothing with the data")
	assert.Equal(t, "abcd", string(p))
	d.Fail(ErrUnion)
	d.Reset(unhex(t, "00000007"))
	assert.EqualValues(t, 7, d.Uint32())
	assert.NoError(t, d.Err())
}

// FuzzDecoder reads with the kinds that a script names, from anything.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("ihsofcn"), unhexSeed)
	f.Add([]byte("sssss"), unhexSeed)
	f.Fuzz(func(t *testing.T, script, data []byte) {
		d := NewDecoder(data)
		for _, kind := range script {
			before := d.Remaining()
			switch kind {
			case 'i':
				d.Int32()
			case 'h':
				d.Int64()
			case 's':
				require.NotContains(t, d.String(64), "\x00")
			case 'o':
				require.LessOrEqual(t, len(d.Opaque(64)), min(64, before))
			case 'f':
				d.Fixed(make([]byte, 5))
			case 'c':
				require.LessOrEqual(t, 4*len(d.CharList(64)), before)
			case 'n':
				require.LessOrEqual(t, 8*d.Count(1000, 8), before)
			}
			require.LessOrEqual(t, d.Remaining(), before)
		}
	})
}

var unhexSeed = []byte("\x00\x00\x00\x03abc\x00\x00\x00\x00\x01\x00\x00\x00\x61\x00\x00\x00\x02\x00\x00\x00\x08")
