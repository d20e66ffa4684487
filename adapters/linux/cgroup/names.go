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
// hierarchy:
//
//	/machine + lxc-1-web        /machine/lxc-1-web.libvirt-lxc
//	/web/front + lxc-1-web      /web.partition/front.partition/lxc-1-web.libvirt-lxc
//
// InvalidArgument for what cannot be the name of a directory.
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

// partitionPath turns a partition as written (the document's resource/partition)
// into directories. An empty partition is the top; slashes more than needed are
// dropped. A container's group is no partition: whoever killed that container would
// kill what is in the partition.
func partitionPath(base, partition string) (string, error) {
	if partition != "" && !strings.HasPrefix(partition, "/") {
		return "", invalid("partition '%s' is not an absolute path", partition)
	}
	result := base
	for i, part := range strings.FieldsFunc(partition, func(r rune) bool { return r == '/' }) {
		if strings.HasSuffix(part, suffix) {
			return "", invalid("partition '%s' would be inside the control group of a container, '%s'", partition, part)
		}
		// "/machine" is taken as it is, "/web/machine" is not.
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

// standard partitions are used as they are when they lead: every host with this
// interface has them. Further below the same names are ordinary ones.
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

// clashes with a file that the kernel puts into every group: "tasks", "cgroup.procs",
// "memory.max". Any name with a controller's prefix counts, since new kernels bring
// new files. Names that start with a dot are hidden from those who look.
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

// checkPart: a line end is allowed by file systems, but not here (cgroup_mkdir). The
// bound is NAME_MAX, in bytes.
func checkPart(part string) error {
	if part == "" || part == "." || part == ".." || len(part) > maxName || strings.ContainsAny(part, "/\x00\n") {
		return invalid("'%s' cannot name a control group", part)
	}
	return nil
}

// checkPath accepts what Path gave: clean, absolute, below base and named like a
// container's group, with or without a unit. Whatever else a damaged status file
// may say, the group of a partition or of the whole host is never killed for it.
func checkPath(base, given string) error {
	clean := strings.HasPrefix(given, base+"/") && path.Clean(given) == given && !strings.ContainsRune(given, 0)
	if clean && (strings.HasSuffix(given, suffix) || strings.HasSuffix(given, scopeSuffix+"/"+insideScope)) {
		return nil
	}
	return fault.New(fault.NotFound, fault.ControlGroup, "no control group '%s' of this daemon", given)
}
