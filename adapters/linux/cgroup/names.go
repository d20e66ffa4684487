package cgroup

import (
	"path"
	"slices"
	"strings"

	"virtlxcd/domain/fault"
)

const (
	// suffix marks a container's group, as other programs know it.
	suffix = ".libvirt-lxc"
	// partitionSuffix marks the parts of a partition that are not standard.
	partitionSuffix = ".partition"
	// controllersName is the group of the processes that hold containers.
	controllersName = "virtlxc-controllers"

	maxName = 255
)

// groupPath is where the group of a container is, from the top of each
// hierarchy.
func groupPath(base, partition, name string) (string, error) {
	above, err := partitionPath(base, partition)
	if err != nil {
		return "", err
	}
	if !strings.HasSuffix(name, suffix) {
		name += suffix
	}
	name = escape(name)
	if err := checkPart(name); err != nil {
		return "", err
	}
	return above + "/" + name, nil
}

// partitionPath turns a partition as written into directories. An empty
// partition is the top.
func partitionPath(base, partition string) (string, error) {
	if partition != "" && !strings.HasPrefix(partition, "/") {
		return "", invalid("partition '%s' is not an absolute path", partition)
	}
	result := base
	for i, part := range strings.FieldsFunc(partition, func(r rune) bool { return r == '/' }) {
		if !(i == 0 && standard(part)) {
			part = partitionPart(part)
		}
		if err := checkPart(part); err != nil {
			return "", err
		}
		result += "/" + part
	}
	return result, nil
}

// standard partitions are used as they are when they lead.
func standard(part string) bool { return part == "machine" || part == "system" || part == "user" }

// partitionPart names the directory of one part. A part with a suffix of its
// own keeps it.
func partitionPart(part string) string {
	if !strings.Contains(part, ".") {
		part += partitionSuffix
	}
	return escape(part)
}

// escape keeps a name apart from the files of controllers. A name that starts
// with the escape character is escaped too, so that two names never meet.
func escape(name string) string {
	if clashes(name) {
		return "_" + name
	}
	return name
}

func clashes(name string) bool {
	if name == "" || name[0] == '_' || name[0] == '.' {
		return true
	}
	switch name {
	case "tasks", "notify_on_release", "release_agent":
		return true
	}
	prefix, _, dotted := strings.Cut(name, ".")
	if !dotted {
		return false
	}
	return slices.Contains(known, prefix) || slices.Contains([]string{"cgroup", "io", "irq", "dmem", "debug"}, prefix)
}

func checkPart(part string) error {
	if part == "" || part == "." || part == ".." || len(part) > maxName || strings.ContainsAny(part, "/\x00\n") {
		return invalid("'%s' cannot name a control group", part)
	}
	return nil
}

// checkPath accepts what Path gave: clean, absolute and below base.
func checkPath(base, given string) error {
	if !strings.HasPrefix(given, base+"/") || path.Clean(given) != given || strings.ContainsRune(given, 0) || given == "/" {
		return &fault.Error{Kind: fault.NotFound, Area: fault.ControlGroup, Text: "no control group '" + given + "' of this daemon"}
	}
	return nil
}
