package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"virtlxcd/adapters/domxml"
	"virtlxcd/adapters/linux/proc"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/adapters/settings"
	"virtlxcd/adapters/store"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

// Stand is what Serve is told by main.
type Stand struct {
	Config
	Roots   []string // directories that exist on the machine, each with a program /sbin/init and others
	Bridges []string // that exist besides virbr0
	// Ready is called once clients are served, with what they connect to.
	Ready func(uri, readOnlyURI string)
}

// Version is the API level as people write it, the same as the real daemon's.
func Version() string { return remote.APIVersion.String() }

// Serve runs a daemon on a machine of its own until ctx ends. Definitions are
// real files below the prefix and outlive it; the machine does not, so whatever
// ran is gone, and every start is the first since a boot.
// A daemon that ends by itself ends Serve too. An error of the pid file is as a
// rule that of a second daemon below the same prefix.
func Serve(ctx context.Context, stand Stand) error {
	if stand.Prefix == "" {
		return errors.New("no prefix was given: this daemon keeps away from the host's own files")
	}
	prefix, err := filepath.Abs(stand.Prefix)
	if err != nil {
		return err
	}
	stand.Prefix = prefix
	pidFile, err := settings.AcquirePIDFile(settings.PathsBelow(prefix).PIDFile)
	if err != nil {
		return err
	}
	defer pidFile.Close()
	return stand.serve(ctx)
}

// serve is Serve by the only daemon below the prefix.
// The state directory is removed before the store opens it: a status there would speak
// of containers that the new machine never had.
func (s *Stand) serve(ctx context.Context) error {
	paths := settings.PathsBelow(s.Prefix)
	// What a machine has in memory is not there after a boot.
	if err := os.RemoveAll(paths.State); err != nil {
		return fmt.Errorf("cannot clear the state of the last machine: %w", err)
	}
	made, cleanup, err := buildFiles(s.Config, s.host())
	if err != nil {
		return err
	}
	defer cleanup()
	if err := made.listen(ctx); err != nil {
		return err
	}
	if s.Ready != nil {
		s.Ready(uri(paths.Socket), uri(paths.ReadOnly))
	}
	select {
	case <-ctx.Done():
	case <-made.ended:
	}
	return made.stop(ctx)
}

// Greeting is what a container's init says first on its first console.
const Greeting = "This container is made up. Type exit, reboot or anything else."

// host is a machine just switched on, with what the command line says there is.
// What real directories of these names hold is not looked at.
func (s *Stand) host() *fakes.Host {
	host := fakes.NewHost()
	init := fakes.Usual()
	init.Greeting = Greeting + "\r\n"
	host.Init("/sbin/init", init)
	for _, root := range s.Roots {
		host.AddRoot(root)
	}
	for _, bridge := range s.Bridges {
		host.AddBridge(bridge)
	}
	return host
}

// uri names a socket to clients. Slashes need no escape in a query.
// It is what virsh takes after -c. Blanks are escaped as paths of URIs have them.
func uri(socket string) string {
	escaped := strings.NewReplacer("%2F", "/", "+", "%20").Replace(url.QueryEscape(socket))
	return "lxc:///system?socket=" + escaped
}

func newPaths(config Config) settings.Paths { return settings.PathsBelow(config.Prefix) }

// What the machine in memory is, as documents show it.
const (
	arch     = "x86_64"
	emulator = "/usr/lib/libvirt/libvirt_lxc"
)

// newCodec knows one machine, whatever this is run on: documents are the same everywhere.
func newCodec(entropy ports.Entropy) *domxml.Codec {
	return domxml.New(entropy, domxml.Options{Arch: arch, Emulator: emulator})
}

// newStore is the real one. Busy if another daemon works below the prefix.
func newStore(paths settings.Paths, codec ports.Codec, log *slog.Logger) (*store.Store, func(), error) {
	s, err := store.New(store.Paths{Config: paths.Definitions, Autostart: paths.Autostart, State: paths.State, Log: paths.Log}, codec, log)
	if err != nil {
		return nil, nil, err
	}
	return s, func() {
		if err := s.Close(); err != nil {
			log.Warn("not closed cleanly", "what", "store", "error", err)
		}
	}, nil
}

// newEntropy is random: names counted anew would meet those in stored files. It is the one
// adapter of the kernel here, and needs no root.
func newEntropy() proc.Entropy { return proc.NewEntropy() }
