package xdr

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A value is taken at its maximum and refused one above, by both sides.
func TestMaxima(t *testing.T) {
	for limit := range 9 {
		text := strings.Repeat("x", limit)
		for name, wire := range map[string][]byte{
			"string": must(AppendString(nil, text, limit)), "opaque": must(AppendOpaque(nil, []byte(text), limit)),
		} {
			d := NewDecoder(wire)
			if name == "string" {
				assert.Equal(t, text, d.String(limit))
			} else {
				assert.Equal(t, text, string(d.Opaque(limit)))
			}
			assert.NoError(t, d.Err())
			assert.Zero(t, len(wire)%4, "a multiple of four bytes")
			assert.Zero(t, d.Remaining(), "padding is consumed")
			if limit == 0 {
				continue
			}
			d.Reset(wire)
			d.String(limit - 1)
			assert.ErrorIs(t, d.Err(), ErrTooLong)
			d.Reset(wire)
			d.Opaque(limit - 1)
			assert.ErrorIs(t, d.Err(), ErrTooLong)
		}
		_, err := AppendString(nil, text+"x", limit)
		assert.ErrorIs(t, err, ErrTooLong)
		_, err = AppendOpaque(nil, []byte(text+"x"), limit)
		assert.ErrorIs(t, err, ErrTooLong)
	}
}

// Numbers of elements at which a product would overflow 32 or 64 bits allocate
// nothing.
func TestCountsThatOverflow(t *testing.T) {
	for _, announced := range []uint32{math.MaxUint32, math.MaxInt32, 1 << 31, 1 << 30, 1<<30 + 1} {
		for _, size := range []int{4, 8, 48, math.MaxInt32} {
			d := NewDecoder(append(AppendUint32(nil, announced), make([]byte, 64)...))
			assert.Zero(t, d.Count(math.MaxInt, size))
			assert.ErrorIs(t, d.Err(), ErrShort, "%d of %d", announced, size)
		}
		d := NewDecoder(AppendUint32(nil, announced))
		assert.Zero(t, d.Count(1000, 0))
		assert.ErrorIs(t, d.Err(), ErrTooLong)
		d.Reset(AppendUint32(nil, announced))
		assert.Nil(t, d.CharList(math.MaxInt))
		assert.ErrorIs(t, d.Err(), ErrShort)
	}
}

// Values cut at each byte are short, never something else.
func TestCutAtEachByte(t *testing.T) {
	wire := AppendFloat64(AppendBool(must(AppendOpaque(must(AppendString(nil, "abcde", 9)), []byte{1, 2}, 9)), true), 2.5)
	wire = AppendChars(AppendFixed(wire, []byte("xyz")), []byte("hi"))
	read := func(d *Decoder) error {
		d.String(9)
		d.Opaque(9)
		d.Bool()
		d.Float64()
		d.Fixed(make([]byte, 3))
		d.Chars(make([]byte, 2))
		return d.Err()
	}
	require.NoError(t, read(NewDecoder(wire)))
	for n := range wire {
		require.ErrorIs(t, read(NewDecoder(wire[:n])), ErrShort, "after %d bytes", n)
	}
}

// What follows a NUL is skipped with the string, so that the next value is found.
func TestStringsEndAtNUL(t *testing.T) {
	d := NewDecoder(AppendUint32(must(AppendString(nil, "a\x00bcd", 9)), 7))
	assert.Equal(t, "a", d.String(9))
	assert.EqualValues(t, 7, d.Uint32())
}

// FuzzText: texts and bytes come back as they went, whatever surrounds them.
func FuzzText(f *testing.F) {
	f.Add("text", []byte{0, 1}, int64(-1))
	f.Add("", []byte(nil), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, text string, blob []byte, number int64) {
		const limit = 1 << 20
		if len(text) > limit || len(blob) > limit {
			return
		}
		wire := AppendInt64(must(AppendOpaque(must(AppendString([]byte("before"), text, limit)), blob, limit)), number)
		require.Zero(t, (len(wire)-len("before"))%4)
		d := NewDecoder(wire[len("before"):])
		want, _, _ := strings.Cut(text, "\x00")
		require.Equal(t, want, d.String(limit))
		require.True(t, bytes.Equal(blob, d.Opaque(limit)))
		require.Equal(t, number, d.Int64())
		require.NoError(t, d.Err())
		require.Zero(t, d.Remaining())
	})
}
