package settings

import "virtlxcd/domain/fault"

// Environment is what variables say about logging, as for all programs of the family. It
// wins over the file. Zero values: not said.
type Environment struct {
	LogLevel   uint // 1 debug to 4 error
	LogFilters string
	LogOutputs string
}

// debugLevels are the words that LIBVIRT_DEBUG may have; 0 is "not said". Numbers and
// words mean the same; other spellings, capitals too, are refused.
var debugLevels = map[string]uint{
	"":  0,
	"1": 1, "debug": 1,
	"2": 2, "info": 2,
	"3": 3, "warning": 3,
	"4": 4, "error": 4,
}

// FromEnvironment reads LIBVIRT_DEBUG, LIBVIRT_LOG_FILTERS and
// LIBVIRT_LOG_OUTPUTS; the syntax of the last two is not looked at. An empty
// variable counts as unset. InvalidArgument for a level that is none: whoever set it wants
// to see more, and would not learn why nothing changed. getenv is os.Getenv, or a map in
// tests.
func FromEnvironment(getenv func(string) string) (Environment, error) {
	level, ok := debugLevels[getenv("LIBVIRT_DEBUG")]
	if !ok {
		return Environment{}, fault.New(fault.InvalidArgument, fault.Host,
			"value %s of LIBVIRT_DEBUG must be 1 to 4, debug, info, warning or error", shown(getenv("LIBVIRT_DEBUG")))
	}
	return Environment{
		LogLevel: level, LogFilters: getenv("LIBVIRT_LOG_FILTERS"), LogOutputs: getenv("LIBVIRT_LOG_OUTPUTS"),
	}, nil
}
