package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A table is one parsed file.
// Items keep the order of the file, which is the order of what is generated.
// A table is filled by load and only read afterwards, but for open.
type table struct {
	name, prefix string
	consts       []constant
	aliases      map[string]string // name to type
	enums        []enum
	structs      []structure
	byName       map[string]structure
	open         map[string]bool // structs being resolved
	procs        []proc
	parent       *table // where names are looked up that this file does not know
}

// constant is a const line, or a member of an enum. Values stay text: Go reads them.
// A hexadecimal value stays one.
type constant struct{ name, value string }

// enum is an enum line.
type enum struct {
	name    string
	members []constant
}

// structure is a struct line: a message, or a part of messages.
// Fields are in the order of the wire.
type structure struct {
	name   string
	fields []field
}

// field is FIELD:TYPE. The type is resolved when it is used, so order does not matter.
type field struct{ name, typ string }

// proc is a proc line.
// Keys that are absent have a meaning, so they stay a map until they are written.
type proc struct {
	number, name string
	keys         map[string]string
}

// load reads one table. Its errors name the file and the line.
// Lines do not depend on their order within a table, but for that of the fields.
func load(path, name, prefix string, parent *table) (*table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &table{
		name: name, prefix: prefix, parent: parent,
		aliases: map[string]string{}, byName: map[string]structure{}, open: map[string]bool{},
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if err := t.parse(strings.Fields(lines.Text())); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// parse takes the words of one line; README.md beside the tables describes them.
// Empty lines and those that begin with # mean nothing.
func (t *table) parse(words []string) error {
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil
	}
	if len(words) < 2 {
		return fmt.Errorf("incomplete line")
	}
	name := strings.TrimSuffix(words[1], ":")
	switch words[0] {
	case "const":
		return t.parseConst(name, words)
	case "type":
		return t.parseType(name, words)
	case "enum":
		return t.parseEnum(name, words[2:])
	case "struct":
		return t.parseStruct(name, words[2:])
	case "proc":
		return t.parseProc(words)
	}
	return fmt.Errorf("unknown item %q", words[0])
}

// const STRING_MAX 4194304
//
// A constant is the number of a program or version, or the maximum of a type.
func (t *table) parseConst(name string, words []string) error {
	if len(words) != 3 {
		return fmt.Errorf("want const NAME VALUE")
	}
	t.consts = append(t.consts, constant{name, words[2]})
	return nil
}

// type uuid = opaque[16]
//
// An alias has no Go type of its own, but for uuid.
func (t *table) parseType(name string, words []string) error {
	if len(words) != 4 || words[2] != "=" {
		return fmt.Errorf("want type NAME = TYPE")
	}
	t.aliases[name] = words[3]
	return nil
}

// enum auth_type: AUTH_NONE=0 AUTH_SASL=1 AUTH_POLKIT=2
//
// An enum without members is taken: its type exists on the wire.
func (t *table) parseEnum(name string, words []string) error {
	e := enum{name: name}
	for _, word := range words {
		member, value, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("want MEMBER=VALUE, not %q", word)
		}
		e.members = append(e.members, constant{member, value})
	}
	t.enums = append(t.enums, e)
	return nil
}

// struct nonnull_domain: name:nonnull_string uuid:uuid id:i32
//
// Two of one name are refused: the second would quietly win in byName.
func (t *table) parseStruct(name string, words []string) error {
	s := structure{name: name}
	for _, word := range words {
		fieldName, typ, ok := strings.Cut(word, ":")
		if !ok {
			return fmt.Errorf("want FIELD:TYPE, not %q", word)
		}
		s.fields = append(s.fields, field{fieldName, typ})
	}
	if _, known := t.byName[name]; known {
		return fmt.Errorf("%s is there already", name)
	}
	t.structs = append(t.structs, s)
	t.byName[name] = s
	return nil
}

// values are what keys may say; nil: anything. A misspelt key would quietly mean its
// default, which for "readonly" and "needs" decides who may call.
// served and error take what the protocol has: siblings have names, error domains numbers.
var values = map[string][]string{
	"served": nil, "priority": {"high", "low"}, "readonly": {"yes", "no", "cond"},
	"needs": {"nothing", "auth", "open"}, "c": nil, "error": nil, "acl": nil, "filter": nil,
	"readstream": nil, "writestream": nil, "args": nil, "ret": nil, "msg": nil,
}

// check refuses what the table's author cannot have meant.
// Numbers of procedures have 31 bits on the wire, signs not counted.
func (p *proc) check() error {
	if _, err := strconv.ParseUint(p.number, 10, 31); err != nil {
		return fmt.Errorf("%q is no procedure number", p.number)
	}
	if p.keys["served"] == "" {
		return fmt.Errorf("nobody serves %s: key \"served\" is missing", p.name)
	}
	for key, value := range p.keys {
		allowed, known := values[key]
		if !known {
			return fmt.Errorf("unknown key %q", key)
		}
		if allowed != nil && !slices.Contains(allowed, value) {
			return fmt.Errorf("%s is one of %v, not %q", key, allowed, value)
		}
	}
	return nil
}

// proc 66 auth_list priority=high readonly=yes needs=nothing served=daemon args=- ret=auth_list_ret
//
// A key that stands twice counts where it stands last.
func (t *table) parseProc(words []string) error {
	if len(words) < 4 {
		return fmt.Errorf("want proc NUMBER NAME and keys")
	}
	p := proc{number: words[1], name: words[2], keys: map[string]string{}}
	for _, word := range words[3:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("want KEY=VALUE, not %q", word)
		}
		p.keys[key] = value
	}
	if err := p.check(); err != nil {
		return err
	}
	t.procs = append(t.procs, p)
	return nil
}
