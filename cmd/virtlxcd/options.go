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

// options is the command line, understood.
type options struct {
	config      daemon.Config
	background  bool // leave the terminal
	checkConfig bool
	help        bool
	version     bool
}

// maxTimeout keeps seconds countable in milliseconds of 32 bits, as ever.
const maxTimeout = 2147483

// parse reads the command line: GNU syntax, long options may be shortened.
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
	shorten(flags)
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

func (o *options) check(flags *pflag.FlagSet, timeout int) error {
	switch {
	case o.help || o.version:
		return nil
	case timeout < 0 || timeout > maxTimeout:
		return fmt.Errorf("invalid value %d for --timeout: it must be from 0 to %d seconds", timeout, maxTimeout)
	case flags.Changed("config") && o.config.ConfigFile == "":
		return fmt.Errorf("--config needs the name of a file")
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument '%s'", flags.Arg(0))
	}
	return nil
}

// shorten lets long options be named by the beginning of their name, as long as
// it is of one alone.
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

// spelledOut is the command line for a process with another working directory.
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

// usage prints the help.
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

// beside finds a program in the directory of this one, else where it is installed.
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
