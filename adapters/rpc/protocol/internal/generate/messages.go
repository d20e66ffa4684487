package main

import (
	"bytes"
	"fmt"
	"strings"
)

// emitStruct writes one message: type, encoder, decoder.
// All types are resolved before anything is written, so an error leaves nothing half done.
// Messages keep the order of the table, so a change of one line changes one place.
// The name on the wire stands in the comment, for people who compare with a capture.
func emitStruct(b *bytes.Buffer, t *table, s structure) error {
	name := t.prefix + typeName(s.name)
	fields := make([]*typ, len(s.fields))
	for i, f := range s.fields {
		var err error
		if fields[i], err = t.resolve(f.typ); err != nil {
			return fmt.Errorf("%s.%s: %w", s.name, f.name, err)
		}
	}
	fmt.Fprintf(b, "// %s is %s on the wire.\ntype %s struct {\n", name, strings.TrimPrefix(s.name, "nonnull_"), name)
	for i, f := range s.fields {
		fmt.Fprintf(b, "%s %s\n", goName(f.name), fields[i].goes)
	}
	b.WriteString("}\n\n")
	emitEncoder(b, name, s, fields)
	emitDecoder(b, name, s, fields)
	return nil
}

// emitEncoder writes AppendXDR: the fields in their order, each checked against its
// maximum before it is written.
// A maximum that is exceeded is an error here and not at the other end, which would
// hang up on the whole connection.
func emitEncoder(b *bytes.Buffer, name string, s structure, fields []*typ) {
	fmt.Fprintf(b, "// AppendXDR implements Message.\nfunc (m *%s) AppendXDR(b []byte) ([]byte, error) {\n", name)
	for _, f := range fields {
		if fallible(f) {
			b.WriteString("var err error\n")
			break
		}
	}
	for i, f := range s.fields {
		encode(b, fields[i], "m."+goName(f.name))
	}
	b.WriteString("return b, nil\n}\n\n")
}

// fallible: numbers cannot exceed anything. A message without other fields declares no
// error, which the compiler would complain of.
// Arrays and bytes of fixed length have as many as their type says.
func fallible(t *typ) bool {
	switch t.kind {
	case number, choice, fixed, array:
		return false
	case maybe:
		return fallible(t.elem)
	}
	return true
}

// orReturn ends an encoding statement that may fail.
// It follows an "if b, err = ..." without its body.
const orReturn = "; err != nil {\nreturn b, err\n}\n"

// encode writes the statements that append v, an expression of type t.
// Booleans before optional values are one unit, as XDR has them (RFC 4506, 4.19).
func encode(b *bytes.Buffer, t *typ, v string) {
	switch t.kind {
	case number:
		encodeNumber(b, t, v)
	case choice:
		fmt.Fprintf(b, "b = xdr.AppendInt32(b, int32(%s))\n", v)
	case text:
		fmt.Fprintf(b, "if b, err = xdr.AppendString(b, %s, %s)%s", v, t.limit, orReturn)
	case opaque:
		fmt.Fprintf(b, "if b, err = xdr.AppendOpaque(b, %s, %s)%s", v, t.limit, orReturn)
	case fixed:
		fmt.Fprintf(b, "b = xdr.AppendFixed(b, %s[:])\n", v)
	case array:
		fmt.Fprintf(b, "b = xdr.AppendChars(b, %s[:])\n", v)
	case message:
		fmt.Fprintf(b, "if b, err = %s.AppendXDR(b)%s", v, orReturn)
	case list:
		encodeList(b, t, v)
	case maybe:
		fmt.Fprintf(b, "b = xdr.AppendBool(b, %s != nil)\nif %s != nil {\n", v, v)
		encode(b, t.elem, pointee(t.elem, v))
		b.WriteString("}\n")
	}
}

// pointee spells what v points to; methods need no dereference.
// Go takes the address by itself for AppendXDR and DecodeXDR.
func pointee(t *typ, v string) string {
	if t.kind == message {
		return v
	}
	return "*" + v
}

// encodeNumber: what is smaller than a unit takes a whole one; signs are kept.
// XDR has no numbers smaller than four bytes (RFC 4506, 4.1).
func encodeNumber(b *bytes.Buffer, t *typ, v string) {
	switch t.name {
	case "i8", "i16":
		fmt.Fprintf(b, "b = xdr.AppendInt32(b, int32(%s))\n", v)
	case "u8", "u16":
		fmt.Fprintf(b, "b = xdr.AppendUint32(b, uint32(%s))\n", v)
	default:
		fmt.Fprintf(b, "b = xdr.Append%s(b, %s)\n", title(t.goes), v)
	}
}

// encodeList writes the number and then each element. Room is made once, by what
// elements usually take; chars have a function of their own.
// The count comes first (RFC 4506, 4.13) and is checked against the declared maximum.
func encodeList(b *bytes.Buffer, t *typ, v string) {
	fmt.Fprintf(b, "if b, err = xdr.AppendCount(b, len(%s), %s)%s", v, t.limit, orReturn)
	if t.elem.name == "i8" {
		fmt.Fprintf(b, "b = xdr.AppendChars(b, %s)\n", v)
		return
	}
	fmt.Fprintf(b, "b = grow(b, len(%s)*%d)\nfor i := range %s {\n", v, t.elem.hint, v)
	encode(b, t.elem, v+"[i]")
	b.WriteString("}\n")
}

// title is the name of a Go type as the functions of package xdr carry it.
func title(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// emitDecoder writes DecodeXDR. Statements do not look at errors: after the first one the
// decoder gives zero values, and the error is returned at the end.
// So the statements stay short, and a decoder that failed never allocates again.
func emitDecoder(b *bytes.Buffer, name string, s structure, fields []*typ) {
	fmt.Fprintf(b, "// DecodeXDR implements Message.\nfunc (m *%s) DecodeXDR(d *xdr.Decoder) error {\n", name)
	for i, f := range s.fields {
		decode(b, fields[i], "m."+goName(f.name))
	}
	b.WriteString("return d.Err()\n}\n\n")
}

// decode writes the statements that fill v. What may be absent is reset first, as a
// message may be used again.
// Everything that is allocated is bounded by the bytes that are there or by a maximum.
func decode(b *bytes.Buffer, t *typ, v string) {
	switch t.kind {
	case number:
		decodeNumber(b, t, v)
	case choice:
		fmt.Fprintf(b, "%s = %s(d.Int32())\n", v, t.goes)
	case text:
		fmt.Fprintf(b, "%s = d.String(%s)\n", v, t.limit)
	case opaque:
		fmt.Fprintf(b, "%s = d.Opaque(%s)\n", v, t.limit)
	case fixed:
		fmt.Fprintf(b, "d.Fixed(%s[:])\n", v)
	case array:
		fmt.Fprintf(b, "d.Chars(%s[:])\n", v)
	case message:
		fmt.Fprintf(b, "%s.DecodeXDR(d)\n", v)
	case list:
		decodeList(b, t, v)
	case maybe:
		fmt.Fprintf(b, "%s = nil\nif d.Bool() {\n%s = new(%s)\n", v, v, t.elem.goes)
		decode(b, t.elem, pointee(t.elem, v))
		b.WriteString("}\n")
	}
}

// decodeNumber: a unit that holds more than fits is cut, as C peers do.
// Refusing it would refuse what the original takes.
func decodeNumber(b *bytes.Buffer, t *typ, v string) {
	switch t.name {
	case "i8", "i16", "u8", "u16":
		fmt.Fprintf(b, "%s = %s(d.Uint32())\n", v, t.goes)
	default:
		fmt.Fprintf(b, "%s = d.%s()\n", v, title(t.goes))
	}
}

// decodeList allocates what Count allows: no more elements than the declared maximum,
// and than the bytes left can hold at the fewest bytes of one.
// An empty list becomes nil, so a message that is used again keeps nothing of before.
func decodeList(b *bytes.Buffer, t *typ, v string) {
	if t.elem.name == "i8" {
		fmt.Fprintf(b, "%s = d.CharList(%s)\n", v, t.limit)
		return
	}
	fmt.Fprintf(b, "%s = nil\nif n := d.Count(%s, %d); n > 0 {\n%s = make(%s, n)\n", v, t.limit, t.elem.min, v, t.goes)
	fmt.Fprintf(b, "for i := range %s {\n", v)
	decode(b, t.elem, v+"[i]")
	b.WriteString("}\n}\n")
}
