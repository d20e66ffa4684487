package logging

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// Options are what a Log begins with. Only Level has to be set. They are read once, by
// Open; what can change later has a method of Log.
type Options struct {
	// Level counts for records that no filter matches.
	Level slog.Level
	// Filters and Outputs are in the form of virtlxcd.conf. Without Outputs there
	// is one, chosen by Background, Terminal and what the host has.
	Filters, Outputs string
	// Banner is printed as info records before the first record of every output,
	// whatever its priority.
	Banner []string
	// Background says that standard error leads nowhere (-d).
	Background bool
	// File is the default output in the background on hosts without a journal;
	// empty: /var/log/libvirt/virtlxcd.log.
	File string
	// Stderr is standard error; nil: os.Stderr. Other than a file it has to stand
	// concurrent writes, and its slowness is the daemon's.
	Stderr io.Writer
	// Terminal says whether somebody sits in front of the daemon, who then wants
	// to see the log; nil: whether standard input is a terminal.
	Terminal func() bool
	// Journal and Syslog are sockets; empty: the host's.
	Journal, Syslog string
}

// complete fills in what the host has. Tests put files and sockets of their own in place
// of these.
func (o *Options) complete() {
	if o.File == "" {
		o.File = "/var/log/libvirt/virtlxcd.log"
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	if o.Terminal == nil {
		o.Terminal = stdinIsTerminal
	}
	if o.Journal == "" {
		o.Journal = "/run/systemd/journal/socket"
	}
	if o.Syslog == "" {
		o.Syslog = "/dev/log"
	}
}

// stdinIsTerminal asks for settings that only terminals have (tcgetattr(3)).
func stdinIsTerminal() bool {
	_, err := unix.IoctlGetTermios(unix.Stdin, unix.TCGETS)
	return err == nil
}
