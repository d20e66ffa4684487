package proc

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxFile bounds what is read of one file, in bytes. /proc/cpuinfo of a large machine
// is longer, but what is wanted of it comes first. The mount table is not read so.
const maxFile = 256 << 10

// read returns a file below the root, empty if it cannot be read.
func (h *Host) read(path string) []byte {
	f, err := os.Open(h.root + path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var text bytes.Buffer
	text.Grow(4096)
	if _, err := text.ReadFrom(io.LimitReader(f, maxFile)); err != nil {
		return nil
	}
	return text.Bytes()
}

// line returns the first line of a file, without the blanks around; empty if there is
// none.
func (h *Host) line(path string) string {
	first, _, _ := bytes.Cut(h.read(path), []byte("\n"))
	return strings.TrimSpace(string(first))
}

// number returns a file that holds one decimal number; false if it does not.
func (h *Host) number(path string) (int, bool) {
	n, err := strconv.Atoi(h.line(path))
	return n, err == nil
}

// exists does not follow a link: those of /proc/self/ns lead nowhere that can be seen.
func (h *Host) exists(path string) bool {
	_, err := os.Lstat(h.root + path)
	return err == nil
}

// names lists a directory by name, nothing if it cannot be read.
func (h *Host) names(path string) []string {
	entries, _ := os.ReadDir(h.root + path)
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// field returns what follows label and a colon in a text of "label: value"
// lines, such as /proc/PID/status and /proc/cpuinfo. Blanks around are dropped. The
// first of several counts: cpuinfo has one for each processor. Empty if there is none.
func field(text []byte, label string) string {
	for line := range bytes.Lines(text) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if found && string(bytes.TrimSpace(name)) == label {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// maxCPU bounds processor and node numbers; kernels are built for 8192 at most.
const maxCPU = 1 << 16

// parseList reads a list of numbers as the kernel prints sets: "0-3,8,10-11"
// (cpuset(7), "List format"). False for anything else; an empty list is fine.
// Numbers come in the order they are written, which the kernel makes ascending.
func parseList(text string) ([]int, bool) {
	var numbers []int
	if text = strings.TrimSpace(text); text == "" {
		return nil, true
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 32)
		last, err2 := strconv.ParseUint(to, 10, 32)
		if err != nil || err2 != nil || first > last || last >= maxCPU || len(numbers) >= maxCPU {
			return nil, false
		}
		for n := first; n <= last; n++ {
			numbers = append(numbers, int(n))
		}
	}
	return numbers, true
}
