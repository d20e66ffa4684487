package settings

import "embed"

// DefaultFiles holds defaults/virtlxcd.conf and defaults/lxc.conf, the files a
// package installs: every key with its default, commented out.
//
//go:embed defaults
var DefaultFiles embed.FS
