package fakes

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/policy"
)

// field is one key of the line format. Get returns the words of each line. Set is
// called for each line, so that of a list appends. What get gives, set takes back.
type field struct {
	key string
	get func(d *container.Definition) [][]string
	set func(d *container.Definition, words []string) error
}

// definition saves words in the table. Unlike a type of its own it needs no conversion.
type definition = container.Definition

// fields are in the order in which Format prints them. "id" is read over, since a live
// document has it. Parse takes them in any order, and refuses a key that is not in this
// list.
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
	size("online", func(d *definition) *uint { return &d.OnlineVCPUs }),
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

// errWords is told with the line it is about.
var errWords = errors.New("wrong number of words")

// one is a single line. Without words it is a line with the key alone.
func one(words ...string) [][]string { return [][]string{words} }

// each is a line per word. An empty word is quoted, so it comes back.
func each(list []string) (lines [][]string) {
	for _, word := range list {
		lines = append(lines, []string{word})
	}
	return lines
}

// atLeast returns words made up to n with empty ones. Short lines are for people;
// Format prints all words. The argument is not changed.
func atLeast(words []string, n int) []string {
	return append(slices.Clone(words), make([]string, max(0, n-len(words)))...)
}

// text is a key with one value, which may have blanks; no line stands for none. Blanks
// in a row become one, unless the value is quoted, as Format does. An empty value is an
// error: it could not be told from none.
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

// size is a key with a number, which is always printed. Zero is printed too, as Parse
// would fill in something else.
func size[T uint | uint64](key string, at func(*definition) *T) field {
	get := func(d *definition) [][]string { return one(strconv.FormatUint(uint64(*at(d)), 10)) }
	set := func(d *definition, words []string) error {
		n, err := strconv.ParseUint(strings.Join(words, " "), 10, 64)
		*at(d) = T(n)
		return err
	}
	return field{key, get, set}
}

// setUUID takes whatever container.ParseUUID takes.
func setUUID(d *definition, words []string) (err error) {
	d.UUID, err = container.ParseUUID(strings.Join(words, " "))
	return err
}

// getMetadata prints the namespace and the whole element as two words.
func getMetadata(d *definition) (lines [][]string) {
	for _, m := range d.Metadata {
		lines = append(lines, []string{m.Namespace, m.Text})
	}
	return lines
}

// setMetadata does not look into the element, which Codec.Metadata has done before.
func setMetadata(d *definition, words []string) error {
	if len(words) != 2 {
		return errWords
	}
	d.Metadata = append(d.Metadata, container.Metadata{Namespace: words[0], Text: words[1]})
	return nil
}

// setArg takes one word or several; Format prints a line for each. Those with blanks
// are quoted.
func setArg(d *definition, words []string) error {
	d.Init.Args = append(d.Init.Args, words...)
	return nil
}

// getEnv prints "NAME VALUE", in the order of the definition.
func getEnv(d *definition) (lines [][]string) {
	for _, v := range d.Init.Env {
		lines = append(lines, []string{v.Name, v.Value})
	}
	return lines
}

// setEnv wants both words; an empty value is "".
func setEnv(d *definition, words []string) error {
	if len(words) != 2 {
		return errWords
	}
	d.Init.Env = append(d.Init.Env, container.EnvVar{Name: words[0], Value: words[1]})
	return nil
}

// ids is a key with a line per range: start, target, count, as uid_map has them
// (user_namespaces(7)). All are 32 bits wide, and the lists are checked as a whole when
// the document has been read.
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

// getPolicy leaves the default out, whether or not it was given.
func getPolicy(d *definition) [][]string {
	if d.Capabilities.Policy == policy.CapDefault {
		return nil
	}
	return one(d.Capabilities.Policy.String())
}

// setPolicy knows the words that policies print as.
func setPolicy(d *definition, words []string) error {
	for _, p := range []policy.CapPolicy{policy.CapDefault, policy.CapAllow, policy.CapDeny} {
		if p.String() == strings.Join(words, " ") {
			d.Capabilities.Policy = p
			return nil
		}
	}
	return errors.New("unknown policy")
}

// getCaps sorts by name, as maps have no order.
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

// setCap reads "NAME on" or "NAME off". Names are not checked, as policy ignores those
// that it does not know.
func setCap(d *definition, words []string) error {
	if len(words) != 2 {
		return errWords
	}
	if d.Capabilities.States == nil {
		d.Capabilities.States = map[string]bool{}
	}
	if words[1] != "on" && words[1] != "off" {
		return errors.New("neither on nor off")
	}
	d.Capabilities.States[words[0]] = words[1] == "on"
	return nil
}

// getPrivateNet prints the key alone, as an empty element of the real format stands.
func getPrivateNet(d *definition) [][]string {
	if !d.PrivateNet {
		return nil
	}
	return one()
}

// setPrivateNet takes any words, as there is nothing to say.
func setPrivateNet(d *definition, _ []string) error {
	d.PrivateNet = true
	return nil
}
