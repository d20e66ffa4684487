package settings

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// LoadDaemon reads virtlxcd.conf. Without the file the defaults count, unless it
// is required. The error joins everything that is wrong, a line each that names
// file, line and key; the configuration is not to be used then. Notices are
// returned in any case.
//
// Malformed for what is not the files' language: the first such place ends the reading.
// InvalidArgument for values, of which all bad ones are told, and for what is no regular
// file of at most 10 MiB. UnsupportedConfig for what this build lacks, System for a file
// that cannot be read. A link is followed; /dev/null counts as an empty file.
func LoadDaemon(path string, required bool) (Daemon, []Notice, error) {
	d, notices, problems := loadDaemon(path, required)
	return d, notices, join(problems)
}

// LoadDriver reads lxc.conf, as LoadDaemon does its file. Security drivers that this
// build lacks are its UnsupportedConfig.
func LoadDriver(path string, required bool) (Driver, []Notice, error) {
	d, notices, problems := loadDriver(path, required)
	return d, notices, join(problems)
}

// join leaves a single problem the *fault.Error it is. Callers then find kind and text as
// they are, without a list around them.
func join(problems []error) error {
	if len(problems) == 1 {
		return problems[0]
	}
	return errors.Join(problems...)
}

// loadDaemon keeps problems apart, for Check. With any, the Daemon holds what could be read.
func loadDaemon(path string, required bool) (Daemon, []Notice, []error) {
	data, err := read(path, required)
	if err != nil {
		return DefaultDaemon(), nil, []error{err}
	}
	return parseDaemon(data, path)
}

// parseDaemon is LoadDaemon on what the file holds; file only serves texts. After a
// syntax error only defaults are returned: what came before it was not applied.
func parseDaemon(data []byte, file string) (Daemon, []Notice, []error) {
	d := DefaultDaemon()
	d.origin.file = file
	entries, err := parse(data, file)
	if err != nil {
		return d, nil, []error{err}
	}
	notices, problems := fill(&d, &d.origin, daemonKeys, entries, foreignToDaemon)
	// Defaults that follow other keys come after all keys, whatever their order in the
	// file.
	notices = append(notices, d.complete()...)
	return d, notices, append(problems, d.check()...)
}

// loadDriver is loadDaemon for lxc.conf.
func loadDriver(path string, required bool) (Driver, []Notice, []error) {
	data, err := read(path, required)
	if err != nil {
		return DefaultDriver(), nil, []error{err}
	}
	return parseDriver(data, path)
}

// parseDriver is parseDaemon for lxc.conf.
func parseDriver(data []byte, file string) (Driver, []Notice, []error) {
	d := DefaultDriver()
	d.origin.file = file
	entries, err := parse(data, file)
	if err != nil {
		return d, nil, []error{err}
	}
	notices, problems := fill(&d, &d.origin, driverKeys, entries, foreignToDriver)
	more, unfit := d.check()
	return d, append(notices, more...), append(problems, unfit...)
}

// read returns nothing for a missing file that is not required. It refuses what
// could block or could not be read again on reload. O_NONBLOCK keeps a fifo from waiting
// for its writer, O_NOCTTY a terminal from becoming the daemon's (open(2)).
func read(path string, required bool) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(err, path)
	}
	data, err := readOpen(file, path)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		return nil, unreadable(closeErr, path)
	}
	return data, err
}

// readOpen looks at the open file, not at its path: what is read is what was looked at.
func readOpen(file *os.File, path string) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, unreadable(err, path)
	}
	if !info.Mode().IsRegular() && path != os.DevNull {
		return nil, fault.New(fault.InvalidArgument, fault.Host, "configuration file '%s' is not a regular file", path)
	}
	if info.Size() > maxFileSize {
		return nil, tooLarge(path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1)) // it may grow while it is read
	switch {
	case err != nil:
		return nil, unreadable(err, path)
	case len(data) > maxFileSize:
		return nil, tooLarge(path)
	}
	return data, nil
}

// tooLarge has the kind of a wrong argument: the file can be read, but is no
// configuration.
func tooLarge(path string) error {
	return fault.New(fault.InvalidArgument, fault.Host, "configuration file '%s' is larger than 10 MiB", path)
}

// unreadable keeps the errno alone: the path is in the text already.
func unreadable(err error, path string) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fault.Wrap(err, fault.System, "cannot read configuration file '%s'", path)
}
