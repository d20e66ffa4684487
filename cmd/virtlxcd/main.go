// Command virtlxcd manages Linux containers behind the libvirt API. virtlxcd(8) describes
// it for administrators, virtlxcd.conf(5) and lxc.conf(5) what it reads.
//
// Exit codes: 0 when it ends as it was asked to, 1 for everything else, with one line on
// standard error that begins "virtlxcd: error:". With --daemon the process that was
// started ends when clients are served, or with the line and code of the one in the
// background.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"virtlxcd/adapters/background"
	"virtlxcd/wiring/daemon"
)

func main() {
	reporter, err := background.Report() // first: it takes what it finds out of the environment
	if err == nil {
		err = run(os.Args, reporter)
	}
	if err != nil {
		reporter.Fail(err)
		fmt.Fprintf(os.Stderr, "%s: error: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// run does what the command line says. The reporter is there if this process is
// the one in the background: it tells the caller's terminal how the start went.
func run(args []string, reporter *background.Reporter) error {
	options, flags, err := parse(args)
	switch {
	case err != nil:
		return fmt.Errorf("%w (see --help)", err)
	case options.help:
		usage(os.Stdout, args[0], flags)
		return nil
	case options.version:
		fmt.Printf("%s (libvirt) %s\n", args[0], daemon.Version())
		return nil
	case options.checkConfig:
		return daemon.CheckConfig(options.config, os.Stdout)
	case options.background && reporter == nil:
		return background.Start(spelledOut(args[0], flags))
	}
	return serve(options.config, reporter)
}

// serve is the daemon itself. SIGINT, SIGTERM and SIGQUIT end it in good order, a second
// one changes nothing; SIGHUP asks for a reload. SIGPIPE never kills it: the log writes to
// standard error around the library that would raise it.
func serve(config daemon.Config, reporter *background.Reporter) error {
	hangup := make(chan os.Signal, 1) // one that waits stands for all that follow it
	signal.Notify(hangup, syscall.SIGHUP)
	config.Hangup, config.Ready = hangup, reporter.Ready
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	defer stop()
	return daemon.Run(ctx, config)
}
