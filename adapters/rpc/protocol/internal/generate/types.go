package main

import (
	"fmt"
	"strconv"
	"strings"
)

// kind is what a type is on the wire, which decides the statements that carry it.
// Strings, bytes and lists have a maximum (MAX), fixed ones a length (N).
type kind int

const (
	number  kind = iota // one or two units
	text                // string
	fixed               // opaque[N]
	opaque              // opaque<MAX>
	array               // T[N]
	list                // T<MAX>
	maybe               // T?
	message             // a struct
	choice              // an enum
)

// A typ is a resolved type.
// min is what a decoder relies on before it allocates, so it must never be too large;
// hint may be wrong in both directions.
// Lists and optional values have the type of what is in them as elem; what a message
// is made of is looked up by its name.
type typ struct {
	kind  kind
	goes  string // Go type
	name  string // number: the notation's name
	limit string // Go expression of N or MAX
	elem  *typ
	min   int // fewest bytes on the wire
	hint  int // usual bytes on the wire, for growing a buffer once
}

// Everything takes whole units of four bytes (RFC 4506, 3), also a number of one.
var numbers = map[string]typ{
	"i8": {goes: "int8", min: 4}, "u8": {goes: "uint8", min: 4},
	"i16": {goes: "int16", min: 4}, "u16": {goes: "uint16", min: 4},
	"i32": {goes: "int32", min: 4}, "u32": {goes: "uint32", min: 4},
	"i64": {goes: "int64", min: 8}, "u64": {goes: "uint64", min: 8}, "f64": {goes: "float64", min: 8},
}

// usualText is what a string is guessed to hold when a buffer is grown.
// A wrong guess costs a second growth of the buffer, nothing else.
const usualText = 16

// resolve turns the notation of a type into a typ.
// The notation is described in README.md beside the tables. T? binds last: string<9>? is an
// optional string.
// The result is new for each use, so a caller may change it.
func (t *table) resolve(notation string) (*typ, error) {
	if inner, ok := strings.CutSuffix(notation, "?"); ok {
		elem, err := t.resolve(inner)
		if err != nil {
			return nil, err
		}
		return &typ{kind: maybe, goes: "*" + elem.goes, elem: elem, min: 4, hint: 4 + elem.hint}, nil
	}
	if base, bound, ok := cutBound(notation, "<", ">"); ok {
		return t.resolveCounted(base, bound)
	}
	if base, bound, ok := cutBound(notation, "[", "]"); ok {
		return t.resolveFixed(base, bound)
	}
	if n, ok := numbers[notation]; ok {
		n.name, n.hint = notation, n.min
		return &n, nil
	}
	return t.resolveName(notation)
}

// cutBound takes "T<MAX>" apart into T and MAX, with the brackets it is given.
// ok is false for a notation without these brackets.
func cutBound(notation, open, end string) (base, bound string, ok bool) {
	inner, ok := strings.CutSuffix(notation, end)
	if !ok {
		return "", "", false
	}
	return strings.Cut(inner, open)
}

// resolveCounted: lists of i8 are bytes in Go, though each is a unit on the wire.
// min is the count alone: an empty list is one.
func (t *table) resolveCounted(base, bound string) (*typ, error) {
	limit, err := t.limit(bound)
	if err != nil {
		return nil, err
	}
	switch base {
	case "string":
		return &typ{kind: text, goes: "string", limit: limit, min: 4, hint: 4 + usualText}, nil
	case "opaque":
		return &typ{kind: opaque, goes: "[]byte", limit: limit, min: 4, hint: 4}, nil
	}
	elem, err := t.resolve(base)
	if err != nil {
		return nil, err
	}
	if elem.min == 0 {
		return nil, fmt.Errorf("a list of %s could announce any number of elements without a byte", base)
	}
	goes := "[]" + elem.goes
	if base == "i8" {
		goes = "[]byte"
	}
	return &typ{kind: list, goes: goes, limit: limit, elem: elem, min: 4, hint: 4}, nil
}

// resolveFixed: opaque[N] is padded once, i8[N] takes a unit for each element.
// N is a number here: no table bounds an array by a constant.
func (t *table) resolveFixed(base, bound string) (*typ, error) {
	n, err := strconv.Atoi(bound)
	if err != nil {
		return nil, err
	}
	if base == "opaque" {
		size := (n + 3) &^ 3
		return &typ{kind: fixed, goes: "[" + bound + "]byte", limit: bound, min: size, hint: size}, nil
	}
	if base != "i8" {
		return nil, fmt.Errorf("arrays of %s are not described by any table", base)
	}
	return &typ{kind: array, goes: "[" + bound + "]byte", limit: bound, min: 4 * n, hint: 4 * n}, nil
}

// resolveName looks a name up in this table and then in its parent, whose prefix its
// types keep. uuid is the one alias with a Go type of its own.
// The type of typed parameters is written by hand, since its value depends on a number
// before it; 12 bytes are an empty name, a type and the smallest value.
func (t *table) resolveName(name string) (*typ, error) {
	if name == "typed_param" {
		return &typ{kind: message, goes: "TypedParam", min: 12, hint: 16 + usualText}, nil
	}
	if s, ok := t.byName[name]; ok {
		return t.resolveStruct(s)
	}
	for _, e := range t.enums {
		if e.name == name {
			return &typ{kind: choice, goes: t.prefix + typeName(name), min: 4, hint: 4}, nil
		}
	}
	if alias, ok := t.aliases[name]; ok {
		resolved, err := t.resolve(alias)
		if err == nil && name == "uuid" {
			resolved.goes = "UUID"
		}
		return resolved, err
	}
	if t.parent != nil {
		return t.parent.resolveName(name)
	}
	return nil, fmt.Errorf("unknown type %q", name)
}

// resolveStruct adds up what the fields take. A message within itself is refused: no
// table has one, and its decoder could be made to use up the stack.
// open holds those that are being resolved, from the outermost on.
func (t *table) resolveStruct(s structure) (*typ, error) {
	if t.open[s.name] {
		return nil, fmt.Errorf("%s contains itself: its decoder could be made to recurse without end", s.name)
	}
	t.open[s.name] = true
	defer delete(t.open, s.name)
	r := &typ{kind: message, goes: t.prefix + typeName(s.name)}
	for _, f := range s.fields {
		ft, err := t.resolve(f.typ)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", s.name, f.name, err)
		}
		r.min += ft.min
		r.hint += ft.hint
	}
	return r, nil
}

// limit is the Go expression of a bound: a number, or the constant of a table.
// A maximum that is neither would become Go that does not compile, far from the line.
// Own constants come before those of the parent.
func (t *table) limit(bound string) (string, error) {
	for _, c := range t.consts {
		if c.name == bound {
			return t.prefix + constName(bound), nil
		}
	}
	if t.parent != nil {
		return t.parent.limit(bound)
	}
	if _, err := strconv.ParseUint(bound, 0, 31); err != nil {
		return "", fmt.Errorf("unknown maximum %q", bound)
	}
	return bound, nil
}
