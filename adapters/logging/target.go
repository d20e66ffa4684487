package logging

import (
	"path/filepath"
	"slices"
	"strings"

	"virtlxcd/domain/fault"
)

// The kinds of outputs, by their names in settings.
const (
	toStderr  = "stderr"
	toSyslog  = "syslog"
	toFile    = "file"
	toJournal = "journald"
)

// target is where records go, and from which priority on: one item of log_outputs. Two of
// one kind and name are the same place.
type target struct {
	priority priority
	kind     string
	name     string // a file's absolute path, syslog's identifier
}

// String is the form that is read, with a file's path made absolute.
func (t target) String() string {
	if t.name == "" {
		return t.priority.String() + ":" + t.kind
	}
	return t.priority.String() + ":" + t.kind + ":" + t.name
}

// parseTargets reads items between blanks: "N:stderr", "N:journald", "N:syslog:NAME",
// "N:file:PATH". Of two for the same place the later counts, at its place in the order.
// InvalidArgument.
func parseTargets(text string) ([]target, error) {
	items, err := split("log outputs", text)
	if err != nil {
		return nil, err
	}
	var list []target
	for _, item := range items {
		one, err := parseTarget(item)
		if err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(t target) bool { return t.kind == one.kind && t.name == one.name })
		if list = append(list, one); len(list) > mostOutputs {
			return nil, fault.New(fault.InvalidArgument, fault.Host, "more than %d log outputs are too many", mostOutputs)
		}
	}
	return list, nil
}

// parseTarget takes all that follows "file:" as the path, colons included. A relative
// path is of the working directory at that time. The texts are the family's.
func parseTarget(item string) (target, error) {
	number, rest, found := strings.Cut(item, ":")
	if !found {
		return target{}, fault.New(fault.InvalidArgument, fault.Host, "Malformed format for log output '%s'", item)
	}
	p, ok := parsePriority(number)
	if !ok {
		return target{}, fault.New(fault.InvalidArgument, fault.Host, "Invalid log priority '%s' for log output '%s'", number, item)
	}
	kind, name, named := strings.Cut(rest, ":")
	switch kind {
	case toStderr, toJournal:
		ok = !named
	case toSyslog:
		ok = name != "" && !strings.Contains(name, ":")
	case toFile:
		ok = name != ""
	default:
		return target{}, fault.New(fault.InvalidArgument, fault.Host, "Invalid log destination '%s' for log output '%s'", kind, item)
	}
	if !ok {
		return target{}, fault.New(fault.InvalidArgument, fault.Host,
			"Log output '%s' does not meet the format requirements for destination type '%s'", item, kind)
	}
	if kind == toFile {
		path, err := filepath.Abs(name)
		if err != nil {
			return target{}, fault.Wrap(err, fault.System, "cannot make '%s' absolute", name)
		}
		name = path
	}
	return target{priority: p, kind: kind, name: name}, nil
}
