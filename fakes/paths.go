package fakes

import (
	"path"
	"strings"
)

// AddPath makes files of the host exist, with the directories above them. There is no
// content and no kind: a path exists or not. They stay over Boot.
func (h *Host) AddPath(paths ...string) {
	h.look(func() {
		for _, p := range paths {
			for p = path.Clean(p); ; p = path.Dir(p) {
				h.paths[p] = true
				if p == "/" || p == "." {
					break
				}
			}
		}
	})
}

// AddRoot makes a directory exist that can serve as the root of a container: with
// /sbin/init, /bin/sh, /bin/true and /bin/false below. Other programs are added below
// it by AddPath and behave as Init says for their path inside.
func (h *Host) AddRoot(dir string) {
	for _, program := range []string{"/sbin/init", "/bin/sh", "/bin/true", "/bin/false"} {
		h.AddPath(path.Join(dir, program))
	}
}

// RemovePath makes a path of the host and all below it vanish. Running containers
// notice when they are restarted.
func (h *Host) RemovePath(p string) {
	h.look(func() {
		p = path.Clean(p)
		for known := range h.paths {
			if known == p || strings.HasPrefix(known, p+"/") {
				delete(h.paths, known)
			}
		}
	})
}

// exists says whether the host has a path. Kernel filesystems have every one. So plans
// may use nodes and files of them that no test has thought of.
func (h *Host) exists(p string) bool {
	p = path.Clean(p)
	for _, kernel := range []string{"/proc", "/sys", "/dev"} {
		if p == kernel || strings.HasPrefix(p, kernel+"/") {
			return true
		}
	}
	return h.paths[p]
}
