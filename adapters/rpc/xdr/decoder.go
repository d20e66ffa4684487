package xdr

import (
	"bytes"
	"encoding/binary"
	"math"
)

// Decoder reads values from the front of a slice. The zero value reads nothing.
// It keeps no reference to the slice in what it returns.
type Decoder struct {
	rest []byte
	err  error
}

// NewDecoder reads from data, which must not change while decoding.
func NewDecoder(data []byte) *Decoder { return &Decoder{rest: data} }

// Reset starts again with other data and forgets the error.
func (d *Decoder) Reset(data []byte) { d.rest, d.err = data, nil }

// Err is the first error met.
func (d *Decoder) Err() error { return d.err }

// Fail records err unless an earlier error stands. Generated code calls it for
// what only it can see, such as an unknown union tag.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
		d.rest = nil
	}
}

// Remaining is the number of bytes not read, 0 after an error.
func (d *Decoder) Remaining() int { return len(d.rest) }

// Rest is what has not been read. It aliases the data.
func (d *Decoder) Rest() []byte { return d.rest }

// take returns the next n bytes and skips their padding, nil on failure.
func (d *Decoder) take(n int) []byte {
	padded := n + padding(n)
	if padded > len(d.rest) {
		d.Fail(ErrShort)
		return nil
	}
	p := d.rest[:n:n]
	d.rest = d.rest[padded:]
	return p
}

// Uint32 reads one unit.
func (d *Decoder) Uint32() uint32 {
	if len(d.rest) < 4 {
		d.Fail(ErrShort)
		return 0
	}
	v := binary.BigEndian.Uint32(d.rest)
	d.rest = d.rest[4:]
	return v
}

// Int32 reads one unit.
func (d *Decoder) Int32() int32 { return int32(d.Uint32()) }

// Uint64 reads two units.
func (d *Decoder) Uint64() uint64 {
	if len(d.rest) < 8 {
		d.Fail(ErrShort)
		return 0
	}
	v := binary.BigEndian.Uint64(d.rest)
	d.rest = d.rest[8:]
	return v
}

// Int64 reads two units.
func (d *Decoder) Int64() int64 { return int64(d.Uint64()) }

// Float64 reads IEEE bits.
func (d *Decoder) Float64() float64 { return math.Float64frombits(d.Uint64()) }

// Bool reads one unit; anything but 0 is true, because clients exist that
// write the 1 of an optional with its bytes reversed.
func (d *Decoder) Bool() bool { return d.Uint32() != 0 }

// Count reads the number of elements of a list. It fails when the number
// exceeds limit or when the bytes left cannot hold so many elements of at least
// size bytes, so the result may be used to allocate.
func (d *Decoder) Count(limit, size int) int {
	n := d.Uint32()
	if uint64(n) > uint64(limit) {
		d.Fail(ErrTooLong)
		return 0
	}
	if uint64(n)*uint64(size) > uint64(len(d.rest)) {
		d.Fail(ErrShort)
		return 0
	}
	return int(n)
}

// String reads a string of at most limit bytes. It ends at the first NUL, if
// there is one, as it does for every other peer.
func (d *Decoder) String(limit int) string {
	p := d.take(d.Count(limit, 1))
	if end := bytes.IndexByte(p, 0); end >= 0 {
		p = p[:end]
	}
	return string(p)
}

// Opaque reads a copy of at most limit counted bytes; nil if there are none.
func (d *Decoder) Opaque(limit int) []byte {
	return append([]byte(nil), d.take(d.Count(limit, 1))...)
}

// Fixed fills p, or leaves it alone on failure.
func (d *Decoder) Fixed(p []byte) { copy(p, d.take(len(p))) }

// Chars fills p from units of which each carries one char.
func (d *Decoder) Chars(p []byte) {
	units := d.take(4 * len(p))
	if units == nil {
		return
	}
	for i := range p {
		p[i] = units[4*i+3]
	}
}

// CharList reads a counted list of chars; nil if there are none.
func (d *Decoder) CharList(limit int) []byte {
	n := d.Count(limit, 4)
	if n == 0 {
		return nil
	}
	p := make([]byte, n)
	d.Chars(p)
	return p
}
