// Command virtlxcd-fake is the whole daemon on a machine in memory, for people
// who build clients: no root, no kernel, nothing touched but its prefix. When clients may
// come it prints two lines, the URI for full rights and the one for reading; it ends with
// SIGINT or SIGTERM. Exit codes and error lines are those of virtlxcd.
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

	"virtlxcd/wiring/harness"
)

func main() {
	stand, done, err := parse(os.Args)
	if done {
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		err = harness.Serve(ctx, stand)
		stop()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: error: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// about is the part of the help that says what is there.
const about = `Serves the libvirt API for containers on a machine in memory: no root, no
kernel, nothing touched but what is below the prefix. Definitions are files
there and outlive the program; what runs ends with it.

The machine has a container root at / and below every --root, with the programs
/sbin/init and /bin/sh (they answer on their consoles, obey shutdown and reboot)
and /bin/true and /bin/false (they end at once), and the bridge virbr0.
`

// parse reads the command line. done: there is nothing left to do. There is no default
// prefix: files of a machine that does not exist belong where somebody wants them.
func parse(args []string) (stand harness.Stand, done bool, err error) {
	flags := pflag.NewFlagSet(args[0], pflag.ContinueOnError)
	flags.SetOutput(os.Stderr)
	flags.Usage = func() {}
	prefix := flags.String("prefix", "", "keep all files and sockets below `DIR` (required)")
	roots := flags.StringArray("root", nil, "have a container root at `DIR`; may be repeated")
	bridges := flags.StringArray("bridge", nil, "have a bridge called `NAME`; may be repeated")
	verbose := flags.BoolP("verbose", "v", false, "log what is done, not only what goes wrong")
	version := flags.Bool("version", false, "print the version")
	help := flags.BoolP("help", "h", false, "print this help")
	if err := flags.Parse(args[1:]); err != nil {
		return stand, false, err
	}
	switch {
	case *help:
		fmt.Printf("Usage:\n  %s --prefix DIR [options]\n\n%s\nOptions:\n%s", args[0], about, flags.FlagUsages())
		return stand, true, nil
	case *version:
		fmt.Printf("%s (libvirt) %s\n", filepath.Base(args[0]), harness.Version())
		return stand, true, nil
	case flags.NArg() > 0:
		return stand, false, fmt.Errorf("unexpected argument '%s'", flags.Arg(0))
	case *prefix == "":
		return stand, false, fmt.Errorf("--prefix is missing")
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	return harness.Stand{
		Config: harness.Config{Prefix: *prefix, Log: os.Stderr, Level: level},
		Roots:  *roots, Bridges: *bridges, Ready: announce,
	}, false, nil
}

// announce prints what to give to clients, when they may come. Programs that start this one
// read the first line.
func announce(uri, readOnlyURI string) {
	fmt.Printf("%s\n%s (read-only)\n", uri, readOnlyURI)
}
