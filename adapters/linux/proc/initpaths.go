package proc

import (
	"os"
	"path"
	"slices"
	"strings"
)

// inits are where init systems are found. Those that exist count.
var inits = []string{
	"/sbin/init", "/usr/sbin/init", "/bin/init", "/usr/bin/init", "/etc/init", "/init",
	"/sbin/telinit", "/usr/sbin/telinit",
	"/lib/systemd/systemd", "/usr/lib/systemd/systemd", "/bin/systemd", "/usr/bin/systemd",
	"/sbin/upstart", "/sbin/openrc-init", "/sbin/runit-init", "/sbin/s6-svscan", "/bin/s6-svscan",
}

// manyInOne are programs that act by the name they are called by. As such they
// are no init, though /sbin/init may be a link to one or a shell may be the
// first process of a small system: containers may run them.
var manyInOne = []string{"busybox", "toybox", "sh", "bash", "dash", "ash"}

// initPaths is sorted, each path once, as seen from below the root. Every link on the
// way counts under its own name, and what runs as process 1 does whatever it is called,
// even if its file was replaced by an update since (" (deleted)").
func (h *Host) initPaths() []string {
	var paths []string
	for _, candidate := range inits {
		paths = append(paths, h.aliases(candidate)...)
	}
	if running, err := os.Readlink(h.root + "/proc/1/exe"); err == nil {
		paths = append(paths, h.aliases(strings.TrimSuffix(running, " (deleted)"))...)
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return slices.Contains(manyInOne, path.Base(p)) })
	slices.Sort(paths)
	return slices.Compact(paths)
}

// maxLinks is where the kernel gives up, too (path_resolution(7)).
const maxLinks = 40

// aliases returns the names a program has on the way from name to its file,
// each as it is spelled and with the links among its directories resolved.
// Nothing if the way does not lead to a file. Where /sbin is a link to usr/sbin and
// /sbin/init one to ../lib/systemd/systemd, that is four names for one program: whoever
// is compared with them may have any.
func (h *Host) aliases(name string) []string {
	var names []string
	for range maxLinks {
		dir, ok := h.resolve(path.Dir(name))
		if !ok {
			return nil
		}
		actual := path.Join(dir, path.Base(name))
		names = append(names, name, actual)
		info, err := os.Lstat(h.root + actual)
		if err != nil {
			return nil
		}
		if info.Mode()&os.ModeSymlink == 0 {
			return names
		}
		target, err := os.Readlink(h.root + actual)
		if err != nil {
			return nil
		}
		name = from(dir, target)
	}
	return nil
}

// resolve follows the links in a directory's path as if the root were "/": in tests it
// is not, and the kernel would lead out of it. False for what is not there or turns in a
// circle. What is above the root is the root.
func (h *Host) resolve(dir string) (string, bool) {
	actual, rest := "/", strings.Trim(dir, "/")
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next := path.Join(actual, part)
		info, err := os.Lstat(h.root + next)
		switch {
		case err != nil:
			return "", false
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(h.root + next)
			if links++; err != nil || links > maxLinks {
				return "", false
			}
			actual, rest = "/", strings.Trim(path.Join(from(actual, target), rest), "/")
		default:
			actual = next
		}
	}
	return actual, true
}

// from is where a link in dir leads.
func from(dir, target string) string {
	if path.IsAbs(target) {
		return path.Clean(target)
	}
	return path.Join(dir, target)
}
