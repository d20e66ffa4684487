package main

import (
	"bytes"
	"fmt"
	"strings"
)

// emitTable writes a table's constants, enums and procedures.
func emitTable(b *bytes.Buffer, t *table) {
	if len(t.consts) > 0 {
		fmt.Fprintf(b, "// Program %s: its number and the maxima of its messages.\nconst (\n", t.name)
		for _, c := range t.consts {
			fmt.Fprintf(b, "%s%s = %s\n", t.prefix, constName(c.name), c.value)
		}
		b.WriteString(")\n\n")
	}
	for _, e := range t.enums {
		emitEnum(b, t, e)
	}
	if len(t.procs) == 0 {
		return
	}
	fmt.Fprintf(b, "// Procedures of program %s.\nconst (\n", t.name)
	for _, p := range t.procs {
		fmt.Fprintf(b, "%sProc%s = %s\n", t.prefix, goName(p.name), p.number)
	}
	fmt.Fprintf(b, ")\n\nvar %sProcedures = [...]Procedure{\n", t.name)
	for _, p := range t.procs {
		emitProc(b, t, p)
	}
	b.WriteString("}\n")
}

func emitEnum(b *bytes.Buffer, t *table, e enum) {
	name := t.prefix + typeName(e.name)
	fmt.Fprintf(b, "// %s is %s on the wire.\ntype %s int32\n\n// Values of %s.\nconst (\n", name, e.name, name, name)
	for _, m := range e.members {
		member := m.name[strings.LastIndexByte(m.name, '_')+1:]
		fmt.Fprintf(b, "%s%s %s = %s\n", name, constName(member), name, m.value)
	}
	b.WriteString(")\n\n")
}

var serves = map[string]string{
	"lxc": "ByDriver", "daemon": "ByDaemon", "daemon+lxc": "ByBoth", "none": "ByNobody", "event": "ByEvent",
}

var access = map[string]string{"yes": "Allowed", "no": "Refused", "cond": "Conditional"}

var needs = map[string]string{"nothing": "Nothing", "auth": "Authenticated"}

func emitProc(b *bytes.Buffer, t *table, p proc) {
	fmt.Fprintf(b, "%s: {Number: %s, Name: %q, Wire: %q", p.number, p.number, goName(p.name), strings.ToUpper(p.name))
	put := func(field, value string, wanted bool) {
		if wanted {
			fmt.Fprintf(b, ", %s: %s", field, value)
		}
	}
	k := p.keys
	put("Function", fmt.Sprintf("%q", k["c"]), k["c"] != "" && k["c"] != "-")
	put("High", "true", k["priority"] == "high")
	put("ReadOnly", access[k["readonly"]], k["readonly"] != "")
	put("Needs", needs[k["needs"]], k["needs"] != "")
	put("ACL", acl(k["acl"]), k["acl"] != "" && k["acl"] != "-")
	put("Filter", acl(k["filter"]), k["filter"] != "")
	put("ErrorDomain", k["error"], k["error"] != "" && k["error"] != "0")
	put("Stream", "ReadStream", k["readstream"] != "")
	put("Stream", "WriteStream", k["writestream"] != "")
	if by, ok := serves[k["served"]]; ok {
		put("ServedBy", by, true)
	} else {
		put("ServedBy", "BySibling", true)
		put("Sibling", fmt.Sprintf("%q", k["served"]), true)
	}
	put("Args", t.factory(k["args"]), named(k["args"]))
	put("Ret", t.factory(k["ret"]), named(k["ret"]))
	put("Event", t.factory(k["msg"]), named(k["msg"]))
	b.WriteString("},\n")
}

func named(message string) bool { return message != "" && message != "-" }

func (t *table) factory(message string) string { return "of[" + t.prefix + typeName(message) + "]" }

func acl(list string) string {
	return fmt.Sprintf("%q", strings.ReplaceAll(list, ",", " "))
}
