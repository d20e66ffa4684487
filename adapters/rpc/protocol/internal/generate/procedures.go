package main

import (
	"bytes"
	"fmt"
	"strings"
)

// emitTable writes a table's constants, enums and procedures.
// The table of procedures is an array indexed by number: looking one up is one comparison
// and no hash. Numbers without a line are empty rows.
// Parts that a table does not have are left out whole.
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

// The last word of a member is its name in Go, behind that of the type: AUTH_POLKIT of
// auth_type becomes AuthTypePolkit.
// Values are numbers of 32 bits, whatever the table says of them: Go checks that.
func emitEnum(b *bytes.Buffer, t *table, e enum) {
	name := t.prefix + typeName(e.name)
	fmt.Fprintf(b, "// %s is %s on the wire.\ntype %s int32\n\n// Values of %s.\nconst (\n", name, e.name, name, name)
	for _, m := range e.members {
		member := m.name[strings.LastIndexByte(m.name, '_')+1:]
		fmt.Fprintf(b, "%s%s %s = %s\n", name, constName(member), name, m.value)
	}
	b.WriteString(")\n\n")
}

// serves, access and needs are the values of the keys "served", "readonly" and "needs" as
// the Go constants of package protocol. What serves does not list is a sibling daemon.
// A sibling is named by its program: "network" is the virtual network daemon.
var serves = map[string]string{
	"lxc": "ByDriver", "daemon": "ByDaemon", "daemon+lxc": "ByBoth", "none": "ByNobody", "event": "ByEvent",
}

// access is of the key "readonly". A key that is absent leaves the zero value, Refused.
// "cond" depends on the flags of the call, which its handler looks at.
var access = map[string]string{"yes": "Allowed", "no": "Refused", "cond": "Conditional"}

// needs is of the key "needs"; the zero value is Opened.
// Nothing is for what clients ask before they have authenticated, Authenticated for
// what they ask before the driver is opened.
var needs = map[string]string{"nothing": "Nothing", "auth": "Authenticated", "open": "Opened"}

// emitProc writes one row. Fields with their zero value are left out, which keeps the
// rows readable. For example
//
// proc 9 domain_create priority=low readonly=no served=lxc c=virDomainCreate error=20 args=domain_create_args ret=-
//
// becomes
//
// 9: {Number: 9, Name: "DomainCreate", Wire: "DOMAIN_CREATE", Function: "virDomainCreate", ...},
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

// named: "-" stands for no message.
// A procedure without arguments has "-"; a key that is absent means the same.
func named(message string) bool { return message != "" && message != "-" }

// factory is the Go expression that makes an empty message.
// The prefix is this table's: arguments and returns of a program are its own messages.
func (t *table) factory(message string) string { return "of[" + t.prefix + typeName(message) + "]" }

// acl separates permissions by spaces, as access rules are split by fields.
// "domain:start,domain:write" in a table is "domain:start domain:write" in Go.
func acl(list string) string {
	return fmt.Sprintf("%q", strings.ReplaceAll(list, ",", " "))
}
