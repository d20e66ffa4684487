package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"virtlxcd/wiring/daemon"
)

// options is the command line, understood. help, version and checkConfig are things to
// do instead of running a daemon, looked at in this order.
type options struct {
	config      daemon.Config
	background  bool // leave the terminal
	checkConfig bool
	help        bool
	version     bool
}

// maxTimeout keeps seconds countable in milliseconds of 32 bits, as ever: 24 days.
const maxTimeout = 2147483

// parse reads the command line: GNU syntax, long options may be shortened. args begin
// with the program's name. The flags come back also with an error; they know which
// options were given, which options does not always show.
func parse(args []string) (*options, *pflag.FlagSet, error) {
	o := &options{}
	flags := pflag.NewFlagSet(args[0], pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	flags.BoolVarP(&o.help, "help", "h", false, "print this help")
	flags.BoolVarP(&o.config.Verbose, "verbose", "v", false, "log what is done, not only what goes wrong")
	flags.BoolVarP(&o.background, "daemon", "d", false, "run in the background; return when clients are served")
	timeout := flags.IntP("timeout", "t", 0, "end after `SECONDS` without a client or a running container")
	flags.StringVarP(&o.config.ConfigFile, "config", "f", "", "read `FILE` instead of virtlxcd.conf")
	flags.BoolVarP(&o.version, "version", "V", false, "print the version")
	pidFile := flags.StringP("pid-file", "p", "", "lock `FILE` and write the process number into it; none if empty")
	flags.BoolVar(&o.checkConfig, "check-config", false, "read both configuration files, say what is wrong with them and leave")
	flags.StringVar(&o.config.Prefix, "prefix", "", "keep all files, sockets and control groups below `DIR`, apart from the host's own")
	flags.StringVar(&o.config.Controller, "controller", beside("libvirt_lxc"), "the controller `PROGRAM`")
	shorten(flags) // after all are known
	if err := flags.Parse(args[1:]); err != nil {
		return o, flags, err
	}
	o.config.Background = o.background
	if flags.Changed("pid-file") {
		o.config.PIDFile = pidFile
	}
	o.config.Timeout = time.Duration(*timeout) * time.Second
	return o, flags, o.check(flags, *timeout)
}

// check refuses what no daemon could do. An empty path is refused where it would stand for
// something else than nothing: who gives one meant another. Whoever asks for help or the
// version gets it, whatever else is wrong.
func (o *options) check(flags *pflag.FlagSet, timeout int) error {
	switch {
	case o.help || o.version:
		return nil
	case timeout < 0 || timeout > maxTimeout:
		return fmt.Errorf("invalid value %d for --timeout: it must be from 0 to %d seconds", timeout, maxTimeout)
	case flags.Changed("config") && o.config.ConfigFile == "":
		return fmt.Errorf("--config needs the name of a file")
	case flags.Changed("prefix") && o.config.Prefix == "":
		// Of a script whose variable is not set: it would run on the host's own files.
		return fmt.Errorf("--prefix needs the name of a directory")
	case flags.Changed("controller") && o.config.Controller == "":
		return fmt.Errorf("--controller needs the name of a program")
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument '%s'", flags.Arg(0))
	}
	return nil
}

// shorten lets long options be named by the beginning of their name, as long as
// it is of one alone (getopt_long(3)): --conf is --config, --con is unknown, as it could be
// --controller. The whole name of one counts though others begin with it.
func shorten(flags *pflag.FlagSet) {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, given string) pflag.NormalizedName {
		var matching []string
		for _, name := range names {
			if name == given {
				return pflag.NormalizedName(name)
			}
			if strings.HasPrefix(name, given) {
				matching = append(matching, name)
			}
		}
		if len(matching) == 1 {
			return pflag.NormalizedName(matching[0])
		}
		return pflag.NormalizedName(given)
	})
}

// spelledOut is the command line for a process with another working directory: all that
// was given, each as --NAME=VALUE with its full name and paths made absolute. Empty
// values stay empty: --pid-file= says that there is to be none.
func spelledOut(name string, flags *pflag.FlagSet) []string {
	args := []string{name}
	flags.Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		if full, err := filepath.Abs(value); err == nil && value != "" && slices.Contains(fileFlags, f.Name) {
			value = full
		}
		args = append(args, "--"+f.Name+"="+value)
	})
	return args
}

// fileFlags are those whose values are paths.
var fileFlags = []string{"config", "pid-file", "prefix", "controller"}

// usage prints the help, with the paths of a daemon without a prefix. name is the
// program's, as it was called.
func usage(out io.Writer, name string, flags *pflag.FlagSet) {
	paths := daemon.DefaultPaths()
	fmt.Fprintf(out, `
Usage:
  %s [options]

Options:
%s
Manages Linux containers behind the libvirt API. Needs root.

Default paths:

  Configuration files:
    %s
    %s

  Sockets:
    %s
    %s
    %s

  Process number:
    %s

`, name, flags.FlagUsages(), paths.DaemonConfig, paths.DriverConfig, paths.Socket, paths.ReadOnly, paths.Admin, paths.PIDFile)
}

// installed is where packages put the controller.
const installed = "/usr/lib/libvirt/libvirt_lxc"

// beside finds a program in the directory of this one, so that a tree that was just built
// runs what was built with it; else where it is installed.
func beside(name string) string {
	self, err := os.Executable()
	if err == nil {
		path := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return installed
}
