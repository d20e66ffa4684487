package protocol

import (
	"math"

	"virtlxcd/adapters/rpc/xdr"
)

// ParamType tells what a typed parameter holds.
type ParamType int32

// The types, with their numbers on the wire.
const (
	ParamInt     ParamType = 1
	ParamUint    ParamType = 2
	ParamLLong   ParamType = 3
	ParamULLong  ParamType = 4
	ParamDouble  ParamType = 5
	ParamBoolean ParamType = 6
	ParamString  ParamType = 7
)

// ParamFieldMax is the longest name clients have room for, in bytes.
const ParamFieldMax = 79

// TypedParam is a named value of one of seven types. Clients insist on the type
// that is documented for a name. The accessor of another type than the
// parameter's gives a meaningless value, never a panic.
type TypedParam struct {
	Field string
	Type  ParamType
	bits  uint64 // every type but the string
	text  string
}

// IntParam and its siblings make parameters.
func IntParam(field string, v int32) TypedParam {
	return TypedParam{Field: field, Type: ParamInt, bits: uint64(uint32(v))}
}

// UintParam makes an unsigned int.
func UintParam(field string, v uint32) TypedParam {
	return TypedParam{Field: field, Type: ParamUint, bits: uint64(v)}
}

// LLongParam makes a long long.
func LLongParam(field string, v int64) TypedParam {
	return TypedParam{Field: field, Type: ParamLLong, bits: uint64(v)}
}

// ULLongParam makes an unsigned long long.
func ULLongParam(field string, v uint64) TypedParam {
	return TypedParam{Field: field, Type: ParamULLong, bits: v}
}

// DoubleParam makes a double.
func DoubleParam(field string, v float64) TypedParam {
	return TypedParam{Field: field, Type: ParamDouble, bits: math.Float64bits(v)}
}

// BooleanParam makes a boolean.
func BooleanParam(field string, v bool) TypedParam {
	p := TypedParam{Field: field, Type: ParamBoolean}
	if v {
		p.bits = 1
	}
	return p
}

// StringParam makes a string.
func StringParam(field, v string) TypedParam {
	return TypedParam{Field: field, Type: ParamString, text: v}
}

// Int is the value of a ParamInt.
func (p *TypedParam) Int() int32 { return int32(uint32(p.bits)) }

// Uint is the value of a ParamUint.
func (p *TypedParam) Uint() uint32 { return uint32(p.bits) }

// LLong is the value of a ParamLLong.
func (p *TypedParam) LLong() int64 { return int64(p.bits) }

// ULLong is the value of a ParamULLong.
func (p *TypedParam) ULLong() uint64 { return p.bits }

// Double is the value of a ParamDouble.
func (p *TypedParam) Double() float64 { return math.Float64frombits(p.bits) }

// Boolean is the value of a ParamBoolean: anything but 0 is true.
func (p *TypedParam) Boolean() bool { return p.bits != 0 }

// Text is the value of a ParamString.
func (p *TypedParam) Text() string { return p.text }

// AppendXDR implements Message. A type that does not exist is xdr.ErrUnion.
func (p *TypedParam) AppendXDR(b []byte) ([]byte, error) {
	b, err := xdr.AppendString(b, p.Field, StringMax)
	if err != nil {
		return b, err
	}
	b = xdr.AppendInt32(b, int32(p.Type))
	switch p.Type {
	case ParamInt, ParamUint, ParamBoolean:
		return xdr.AppendUint32(b, uint32(p.bits)), nil
	case ParamLLong, ParamULLong, ParamDouble:
		return xdr.AppendUint64(b, p.bits), nil
	case ParamString:
		return xdr.AppendString(b, p.text, StringMax)
	}
	return b, xdr.ErrUnion
}

// DecodeXDR implements Message.
func (p *TypedParam) DecodeXDR(d *xdr.Decoder) error {
	*p = TypedParam{Field: d.String(StringMax), Type: ParamType(d.Int32())}
	switch p.Type {
	case ParamInt, ParamUint, ParamBoolean:
		p.bits = uint64(d.Uint32())
	case ParamLLong, ParamULLong, ParamDouble:
		p.bits = d.Uint64()
	case ParamString:
		p.text = d.String(StringMax)
	default:
		d.Fail(xdr.ErrUnion)
	}
	return d.Err()
}
