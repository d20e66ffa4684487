package fakes

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"virtlxcd/domain/device"
)

// getFilesystems prints kind, source, target, mode, usage and access mode.
//
//	filesystem mount /srv/web / rw 0 passthrough
//
// The usage is what a RAM filesystem may take, in KiB, and 0 for others.
func getFilesystems(d *definition) (lines [][]string) {
	for _, fs := range d.Filesystems {
		mode := "rw"
		if fs.ReadOnly {
			mode = "ro"
		}
		usage := strconv.FormatUint(fs.Usage, 10)
		lines = append(lines, []string{string(fs.Kind), fs.Source, fs.Target, mode, usage, fs.AccessMode})
	}
	return lines
}

// setFilesystem needs kind, source and target; what is missing after that is empty.
// Anything but "ro" is read and write. Kinds are taken as they are: what the driver
// refuses must get through to it.
func setFilesystem(d *definition, words []string) error {
	if len(words) < 3 {
		return errWords
	}
	words = atLeast(words, 6)
	fs := device.Filesystem{
		Kind: device.FilesystemKind(words[0]), Source: words[1], Target: words[2],
		ReadOnly: words[3] == "ro", AccessMode: words[5],
	}
	if words[4] != "" {
		usage, err := strconv.ParseUint(words[4], 10, 64)
		if err != nil {
			return err
		}
		fs.Usage = usage
	}
	d.Filesystems = append(d.Filesystems, fs)
	return nil
}

// macText has two digits per byte and colons between them. It is as ip-link(8) prints
// it, in lower case.
func macText(mac device.MAC) string {
	parts := make([]string, len(mac))
	for i, b := range mac {
		parts[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(parts, ":")
}

// getLinks prints kind, source, MAC, host name, guest name, then addresses.
//
//	link bridge virbr0 52:54:00:00:00:01 vnet0 eth0 192.0.2.2/28
//
// Other parts of a link (routes, MTU, the host's side) are not covered. Addresses have
// a prefix when they are printed, that of their class if none was given.
func getLinks(d *definition) (lines [][]string) {
	for i := range d.Links {
		l := &d.Links[i]
		words := []string{string(l.Kind), l.Source, macText(l.MAC), l.HostName, l.GuestName}
		for _, prefix := range prefixes(l.Addresses) {
			words = append(words, prefix.String())
		}
		lines = append(lines, words)
	}
	return lines
}

// setLink needs a kind; a missing address is drawn from entropy later. Words may be
// empty, written as "", when others come after them.
func setLink(d *definition, words []string) error {
	if len(words) == 0 {
		return errWords
	}
	words = atLeast(words, 5)
	l := device.Link{Kind: device.LinkKind(words[0]), Source: words[1], HostName: words[3], GuestName: words[4]}
	if words[2] != "" {
		mac, err := hex.DecodeString(strings.ReplaceAll(words[2], ":", ""))
		if err != nil || len(mac) != len(l.MAC) {
			return errors.New("malformed address")
		}
		copy(l.MAC[:], mac)
	}
	for _, word := range words[5:] {
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			return err
		}
		l.Addresses = append(l.Addresses, device.Address{IP: prefix.Addr(), Prefix: prefix.Bits()})
	}
	d.Links = append(d.Links, l)
	return nil
}

// defaultConsole is what a document without a console gets.
func defaultConsole() device.Console { return device.Console{Kind: "pty", TargetKind: "lxc"} }

// getConsoles prints kind, target kind, terminal and alias. The terminal is known while
// the container runs only.
func getConsoles(d *definition) (lines [][]string) {
	for _, c := range d.Consoles {
		lines = append(lines, []string{c.Kind, c.TargetKind, c.TTY, c.Alias})
	}
	return lines
}

// setConsole fills in kind "pty" and target "lxc", which is what a console of a
// container is (formatdomain).
func setConsole(d *definition, words []string) error {
	words = atLeast(words, 4)
	c := device.Console{Kind: words[0], TargetKind: words[1], TTY: words[2], Alias: words[3]}
	if c.Kind == "" {
		c.Kind = "pty"
	}
	if c.TargetKind == "" {
		c.TargetKind = "lxc"
	}
	d.Consoles = append(d.Consoles, c)
	return nil
}

// setUnserved takes the line as one name: of something that the definition asks for and
// the driver cannot do, for which it refuses the start ("disk 'vda'").
func setUnserved(d *definition, words []string) error {
	d.Unserved = append(d.Unserved, strings.Join(words, " "))
	return nil
}
