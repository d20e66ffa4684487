package xdr

import (
	"encoding/binary"
	"math"
)

var zeros [3]byte

// AppendUint32 appends one unit.
func AppendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// AppendInt32 appends one unit.
func AppendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

// AppendUint64 appends two units, the high one first.
func AppendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// AppendInt64 appends two units, the high one first.
func AppendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// AppendFloat64 appends the IEEE bits.
func AppendFloat64(b []byte, v float64) []byte { return AppendUint64(b, math.Float64bits(v)) }

// AppendBool appends 1 or 0; it also writes the discriminator of an optional.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0, 0, 0, 1)
	}
	return append(b, 0, 0, 0, 0)
}

// AppendCount appends the number of elements of a list, ErrTooLong above limit.
func AppendCount(b []byte, n, limit int) ([]byte, error) {
	if n > limit {
		return b, ErrTooLong
	}
	return AppendUint32(b, uint32(n)), nil
}

// AppendString appends length, bytes and padding, ErrTooLong above limit bytes.
func AppendString(b []byte, s string, limit int) ([]byte, error) {
	if len(s) > limit {
		return b, ErrTooLong
	}
	b = AppendUint32(b, uint32(len(s)))
	b = append(b, s...)
	return append(b, zeros[:padding(len(s))]...), nil
}

// AppendOpaque appends counted bytes, ErrTooLong above limit.
func AppendOpaque(b, p []byte, limit int) ([]byte, error) {
	if len(p) > limit {
		return b, ErrTooLong
	}
	return AppendFixed(AppendUint32(b, uint32(len(p))), p), nil
}

// AppendFixed appends bytes whose number both sides know, and their padding.
func AppendFixed(b, p []byte) []byte {
	b = append(b, p...)
	return append(b, zeros[:padding(len(p))]...)
}

// AppendChars appends every byte as a unit of its own, which is how the
// protocol writes arrays of C's char. Values above 127 are negative there.
func AppendChars(b, chars []byte) []byte {
	for _, c := range chars {
		b = AppendInt32(b, int32(int8(c)))
	}
	return b
}
