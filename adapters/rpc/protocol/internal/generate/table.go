package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// A table is one parsed file.
type table struct {
	name, prefix string
	consts       []constant
	aliases      map[string]string // name to type
	enums        []enum
	structs      []structure
	byName       map[string]structure
	procs        []proc
	parent       *table // where names are looked up that this file does not know
}

type constant struct{ name, value string }

type enum struct {
	name    string
	members []constant
}

type structure struct {
	name   string
	fields []field
}

type field struct{ name, typ string }

type proc struct {
	number, name string
	keys         map[string]string
}

func load(path, name, prefix string, parent *table) (*table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &table{
		name: name, prefix: prefix, parent: parent,
		aliases: map[string]string{}, byName: map[string]structure{},
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if err := t.parse(strings.Fields(lines.Text())); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	return t, lines.Err()
}

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

func (t *table) parseConst(name string, words []string) error {
	if len(words) != 3 {
		return fmt.Errorf("want const NAME VALUE")
	}
	t.consts = append(t.consts, constant{name, words[2]})
	return nil
}

func (t *table) parseType(name string, words []string) error {
	if len(words) != 4 || words[2] != "=" {
		return fmt.Errorf("want type NAME = TYPE")
	}
	t.aliases[name] = words[3]
	return nil
}

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

func (t *table) parseStruct(name string, words []string) error {
	s := structure{name: name}
	for _, word := range words {
		fieldName, typ, ok := strings.Cut(word, ":")
		if !ok {
			return fmt.Errorf("want FIELD:TYPE, not %q", word)
		}
		s.fields = append(s.fields, field{fieldName, typ})
	}
	t.structs = append(t.structs, s)
	t.byName[name] = s
	return nil
}

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
	t.procs = append(t.procs, p)
	return nil
}
