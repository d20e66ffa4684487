package fakes

import (
	"encoding/hex"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

// field is one key of the line format. Get returns the words of each line.
type field struct {
	key string
	get func(d *container.Definition) [][]string
	set func(d *container.Definition, words []string) error
}

type definition = container.Definition

var fields = []field{
	{"id", func(*definition) [][]string { return nil }, func(*definition, []string) error { return nil }},
	text("name", func(d *definition) *string { return &d.Name }),
	{"uuid", func(d *definition) [][]string { return one(d.UUID.String()) }, setUUID},
	text("title", func(d *definition) *string { return &d.Title }),
	text("description", func(d *definition) *string { return &d.Description }),
	{"metadata", getMetadata, setMetadata},
	size("memory", func(d *definition) *uint64 { return &d.Memory }),
	size("current", func(d *definition) *uint64 { return &d.CurrentMemory }),
	size("vcpus", func(d *definition) *uint { return &d.VCPUs }),
	text("cpuset", func(d *definition) *string { return &d.CPUSet }),
	{"limit", getLimits, setLimit},
	text("partition", func(d *definition) *string { return &d.Partition }),
	text("arch", func(d *definition) *string { return &d.Arch }),
	text("init", func(d *definition) *string { return &d.Init.Path }),
	{"arg", func(d *definition) [][]string { return each(d.Init.Args) }, setArg},
	{"env", getEnv, setEnv},
	text("dir", func(d *definition) *string { return &d.Init.Dir }),
	text("user", func(d *definition) *string { return &d.Init.User }),
	text("group", func(d *definition) *string { return &d.Init.Group }),
	text("cmdline", func(d *definition) *string { return &d.Init.CommandLine }),
	ids("uidmap", func(d *definition) *[]policy.IDRange { return &d.IDMap.Users }),
	ids("gidmap", func(d *definition) *[]policy.IDRange { return &d.IDMap.Groups }),
	{"caps", getPolicy, setPolicy},
	{"cap", getCaps, setCap},
	{"privnet", getPrivateNet, setPrivateNet},
	text("poweroff", func(d *definition) *string { return &d.OnPoweroff }),
	text("reboot", func(d *definition) *string { return &d.OnReboot }),
	text("crash", func(d *definition) *string { return &d.OnCrash }),
	text("emulator", func(d *definition) *string { return &d.Emulator }),
	{"filesystem", getFilesystems, setFilesystem},
	{"link", getLinks, setLink},
	{"console", getConsoles, setConsole},
	{"unserved", func(d *definition) [][]string { return each(d.Unserved) }, setUnserved},
}

var errWords = errors.New("wrong number of words")

func one(words ...string) [][]string { return [][]string{words} }

func each(list []string) (lines [][]string) {
	for _, word := range list {
		lines = append(lines, []string{word})
	}
	return lines
}

// atLeast returns words made up to n with empty ones.
func atLeast(words []string, n int) []string {
	return append(slices.Clone(words), make([]string, max(0, n-len(words)))...)
}

func text(key string, at func(*definition) *string) field {
	get := func(d *definition) [][]string {
		if *at(d) == "" {
			return nil
		}
		return one(*at(d))
	}
	set := func(d *definition, words []string) error {
		value := strings.Join(words, " ")
		if value == "" {
			return errWords
		}
		*at(d) = value
		return nil
	}
	return field{key, get, set}
}

func size[T uint | uint64](key string, at func(*definition) *T) field {
	get := func(d *definition) [][]string { return one(strconv.FormatUint(uint64(*at(d)), 10)) }
	set := func(d *definition, words []string) error {
		n, err := strconv.ParseUint(strings.Join(words, " "), 10, 64)
		*at(d) = T(n)
		return err
	}
	return field{key, get, set}
}

func setUUID(d *definition, words []string) (err error) {
	d.UUID, err = container.ParseUUID(strings.Join(words, " "))
	return err
}

func getMetadata(d *definition) (lines [][]string) {
	for _, m := range d.Metadata {
		lines = append(lines, []string{m.Namespace, m.Text})
	}
	return lines
}

func setMetadata(d *definition, words []string) error {
	if len(words) != 2 {
		return errWords
	}
	d.Metadata = append(d.Metadata, container.Metadata{Namespace: words[0], Text: words[1]})
	return nil
}

// limits names the limits that are sizes.
var limits = []struct {
	name string
	at   func(*policy.Limits) **uint64
}{
	{"hard", func(l *policy.Limits) **uint64 { return &l.MemoryHard }},
	{"soft", func(l *policy.Limits) **uint64 { return &l.MemorySoft }},
	{"swap", func(l *policy.Limits) **uint64 { return &l.SwapHard }},
	{"shares", func(l *policy.Limits) **uint64 { return &l.CPUShares }},
	{"period", func(l *policy.Limits) **uint64 { return &l.CPUPeriod }},
	{"pids", func(l *policy.Limits) **uint64 { return &l.PIDs }},
}

func getLimits(d *definition) [][]string { return limitWords(&d.Limits) }

func limitWords(l *policy.Limits) (lines [][]string) {
	for _, limit := range limits {
		if value := *limit.at(l); value != nil {
			lines = append(lines, []string{limit.name, strconv.FormatUint(*value, 10)})
		}
	}
	if l.CPUQuota != nil {
		lines = append(lines, []string{"quota", strconv.FormatInt(*l.CPUQuota, 10)})
	}
	if l.BlockWeight != nil {
		lines = append(lines, []string{"weight", strconv.FormatUint(uint64(*l.BlockWeight), 10)})
	}
	if l.CPUSet != "" {
		lines = append(lines, []string{"cpuset", l.CPUSet})
	}
	return lines
}

func printLimits(l *policy.Limits) (text string) {
	for _, words := range limitWords(l) {
		text += " " + strings.Join(words, "=")
	}
	return text
}

func setLimit(d *definition, words []string) error {
	if len(words) != 2 {
		return errWords
	}
	if words[0] == "cpuset" {
		d.Limits.CPUSet = words[1]
		return nil
	}
	n, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return err
	}
	return setNumber(&d.Limits, words[0], n)
}

func setNumber(l *policy.Limits, name string, n int64) error {
	switch name {
	case "quota":
		l.CPUQuota = &n
		return nil
	case "weight":
		l.BlockWeight = new(uint(n))
		return nil
	}
	for _, limit := range limits {
		if limit.name == name {
			*limit.at(l) = new(uint64(n))
			return nil
		}
	}
	return fault.New(fault.BadDefinition, fault.Document, "unknown limit '%s'", name)
}

func setArg(d *definition, words []string) error {
	d.Init.Args = append(d.Init.Args, words...)
	return nil
}

func getEnv(d *definition) (lines [][]string) {
	for _, v := range d.Init.Env {
		lines = append(lines, []string{v.Name, v.Value})
	}
	return lines
}

func setEnv(d *definition, words []string) error {
	if len(words) != 2 {
		return errWords
	}
	d.Init.Env = append(d.Init.Env, container.EnvVar{Name: words[0], Value: words[1]})
	return nil
}

func ids(key string, at func(*definition) *[]policy.IDRange) field {
	get := func(d *definition) (lines [][]string) {
		for _, r := range *at(d) {
			lines = append(lines, numbers(r.Start, r.Target, r.Count))
		}
		return lines
	}
	set := func(d *definition, words []string) error {
		if len(words) != 3 {
			return errWords
		}
		var n [3]uint32
		for i, word := range words {
			value, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				return err
			}
			n[i] = uint32(value)
		}
		*at(d) = append(*at(d), policy.IDRange{Start: n[0], Target: n[1], Count: n[2]})
		return nil
	}
	return field{key, get, set}
}

func numbers(values ...uint32) (words []string) {
	for _, value := range values {
		words = append(words, strconv.FormatUint(uint64(value), 10))
	}
	return words
}

func getPolicy(d *definition) [][]string {
	if d.Capabilities.Policy == policy.CapDefault {
		return nil
	}
	return one(d.Capabilities.Policy.String())
}

func setPolicy(d *definition, words []string) error {
	for _, p := range []policy.CapPolicy{policy.CapDefault, policy.CapAllow, policy.CapDeny} {
		if p.String() == strings.Join(words, " ") {
			d.Capabilities.Policy = p
			return nil
		}
	}
	return errors.New("unknown policy")
}

func getCaps(d *definition) (lines [][]string) {
	for _, name := range slices.Sorted(maps.Keys(d.Capabilities.States)) {
		state := "off"
		if d.Capabilities.States[name] {
			state = "on"
		}
		lines = append(lines, []string{name, state})
	}
	return lines
}

func setCap(d *definition, words []string) error {
	if len(words) != 2 {
		return errWords
	}
	if d.Capabilities.States == nil {
		d.Capabilities.States = map[string]bool{}
	}
	d.Capabilities.States[words[0]] = words[1] == "on"
	return nil
}

func getPrivateNet(d *definition) [][]string {
	if !d.PrivateNet {
		return nil
	}
	return one()
}

func setPrivateNet(d *definition, _ []string) error {
	d.PrivateNet = true
	return nil
}

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

func macText(mac device.MAC) string {
	parts := make([]string, len(mac))
	for i, b := range mac {
		parts[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(parts, ":")
}

// getLinks prints kind, source, MAC, host name, guest name, then addresses.
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

func defaultConsole() device.Console { return device.Console{Kind: "pty", TargetKind: "lxc"} }

func getConsoles(d *definition) (lines [][]string) {
	for _, c := range d.Consoles {
		lines = append(lines, []string{c.Kind, c.TargetKind, c.TTY, c.Alias})
	}
	return lines
}

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

func setUnserved(d *definition, words []string) error {
	d.Unserved = append(d.Unserved, strings.Join(words, " "))
	return nil
}

// join makes a line; words that are empty or hard to read back are quoted.
func join(key string, words []string) string {
	line := key
	for _, word := range words {
		if word == "" || strings.ContainsAny(word, " \t\r\n\"\\") {
			word = strconv.Quote(word)
		}
		line += " " + word
	}
	return line
}

// split takes a line apart.
func split(line string) (words []string, err error) {
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		if rest[0] != '"' {
			word, after, _ := strings.Cut(rest, " ")
			words, rest = append(words, word), after
			continue
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, fault.New(fault.Malformed, fault.Document, "unbalanced quotes in '%s'", strings.TrimSpace(line))
		}
		word, _ := strconv.Unquote(quoted)
		words, rest = append(words, word), rest[len(quoted):]
	}
	return words, nil
}
