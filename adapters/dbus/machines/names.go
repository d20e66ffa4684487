package machines

import (
	"slices"
	"strings"
)

// maxUnit is the length of the longest unit name.
// See systemd.unit(5).
const maxUnit = 255

// scopeUnit is the unit of a machine.
// For "lxc-4711-web" it is machine-lxc\x2d4711\x2dweb.scope, which is what machined calls
// the scope of a machine that it makes itself.
func scopeUnit(machine string) string { return "machine-" + escape(machine) + ".scope" }

// sliceUnit is the unit that a partition stands for, empty if none can. Parts
// become parts of the name, which makes each slice lie in the one before.
// For "/machine/production" it is machine-production.slice, see systemd.slice(5); for "/"
// the root slice. Relative partitions and those with ".." stand for none.
func sliceUnit(partition string) string {
	parts := strings.FieldsFunc(partition, func(r rune) bool { return r == '/' })
	if !strings.HasPrefix(partition, "/") {
		return ""
	}
	if len(parts) == 0 {
		return "-.slice"
	}
	for i, part := range parts {
		if part == "." || part == ".." || strings.ContainsRune(part, 0) {
			return ""
		}
		parts[i] = escape(part)
	}
	unit := strings.Join(parts, "-") + ".slice"
	if len(unit) > maxUnit {
		return ""
	}
	return unit
}

// escape writes what may not be in a unit's name as \xHH, and "-" too, which
// separates. A dot is escaped where it leads.
// See systemd-escape(1). Bytes that are not ASCII are escaped one by one.
func escape(name string) string {
	var out strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		if letterOrDigit(c) || c == ':' || c == '_' || c == '.' && i > 0 {
			out.WriteByte(c)
			continue
		}
		// Also for bytes of letters beyond ASCII.
		out.WriteString(`\x` + hex(c))
	}
	return out.String()
}

// letterOrDigit is of ASCII: the rest has no place of its own in names of units.
func letterOrDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// hex has two digits and small letters, as systemd writes them.
func hex(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// groupOf is where a scope in a slice has its control group.
// For machine-a.slice and x.scope it is /machine.slice/machine-a.slice/x.scope: systemd
// makes every slice within the one whose name is the front of its own.
func groupOf(slice, scope string) string {
	path := ""
	if slice != "-.slice" {
		name := strings.TrimSuffix(slice, ".slice")
		for i := 0; i <= len(name); i++ {
			// "-" within a part was escaped, so each one separates.
			if i == len(name) || name[i] == '-' {
				path += "/" + groupName(name[:i]+".slice")
			}
		}
	}
	return path + "/" + groupName(scope)
}

// groupName keeps a unit apart from the files of controllers, as the service
// manager does.
// A group "memory.slice" could be taken for a file of the memory controller; systemd puts
// "_" in front of such names. It is cg_escape of systemd.
func groupName(unit string) string {
	prefix := unit[:max(strings.LastIndexByte(unit, '.'), 0)]
	if unit[0] == '_' || unit[0] == '.' || strings.HasPrefix(unit, "cgroup.") || slices.Contains(controllers, prefix) {
		return "_" + unit
	}
	return unit
}

// controllers are the names that the service manager knows.
var controllers = []string{"cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids"}

// objectOf is the object of a unit on the bus.
// Bytes other than letters and digits become _HH, and so does a digit in front.
func objectOf(unit string) string {
	var out strings.Builder
	out.WriteString("/org/freedesktop/systemd1/unit/")
	for i := 0; i < len(unit); i++ {
		c := unit[i]
		if !letterOrDigit(c) || i == 0 && c >= '0' && c <= '9' {
			out.WriteString("_" + hex(c))
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}
