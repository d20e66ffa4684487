// Command virtlxcd manages Linux containers behind the libvirt API.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"

	"virtlxcd/wiring/daemon"
)

func main() {
	config, done, err := parse(os.Args)
	if done {
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
		err = daemon.Run(ctx, config)
		stop()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: error: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// parse reads the command line. done: there is nothing left to do.
func parse(args []string) (config daemon.Config, done bool, err error) {
	flags := pflag.NewFlagSet(args[0], pflag.ContinueOnError)
	flags.SetOutput(os.Stderr)
	flags.Usage = func() {}
	prefix := flags.String("prefix", "", "keep all files, sockets and control groups below `DIR`, apart from the host's own")
	controller := flags.String("controller", beside("libvirt_lxc"), "the controller `PROGRAM`")
	verbose := flags.BoolP("verbose", "v", false, "log what is done, not only what goes wrong")
	version := flags.Bool("version", false, "print the version")
	help := flags.BoolP("help", "h", false, "print this help")
	if err := flags.Parse(args[1:]); err != nil {
		return config, false, err
	}
	switch {
	case *help:
		fmt.Printf("Usage:\n  %s [options]\n\nManages Linux containers behind the libvirt API.\n\nOptions:\n%s", args[0], flags.FlagUsages())
		return config, true, nil
	case *version:
		fmt.Printf("%s (libvirt) %s\n", filepath.Base(args[0]), daemon.Version())
		return config, true, nil
	case flags.NArg() > 0:
		return config, false, fmt.Errorf("unexpected argument '%s'", flags.Arg(0))
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	return daemon.Config{Prefix: *prefix, Controller: *controller, Log: os.Stderr, Level: level}, false, nil
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
