// Command verdict reads the output of "go test -json", prints what matters and
// decides: a failure fails, and as root so does a skip that nobody listed,
// because a skip there means that something is not tested anywhere.
//
//	go test -json ./... | verdict FILE
//
// FILE lists allowed skips, one a line: package/Test, a blank, the reason.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: verdict FILE")
		os.Exit(2)
	}
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		var allowed map[string]string
		if allowed, err = parseSkips(string(text)); err == nil {
			var ok bool
			if ok, err = judge(os.Stdin, os.Stdout, allowed, os.Geteuid() == 0); err == nil && ok {
				return
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "verdict:", err)
	}
	os.Exit(1)
}

// parseSkips reads the list of allowed skips.
func parseSkips(text string) (allowed map[string]string, err error) {
	allowed = map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		test, reason, _ := strings.Cut(line, " ")
		if reason == "" {
			return nil, fmt.Errorf("%s: allowed without a reason", test)
		}
		allowed[test] = strings.TrimSpace(reason)
	}
	return allowed, nil
}

// event is a line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, ImportPath, Output string
	Elapsed                                   float64
}

// run is a whole go test as far as it has been read.
type run struct {
	out     io.Writer
	output  map[string][]string // by package/Test, of what may still fail
	passed  int
	failed  []string
	skipped []string
}

// judge copies what matters to out. A run in which nothing passed is no success.
func judge(in io.Reader, out io.Writer, allowed map[string]string, root bool) (ok bool, err error) {
	r := &run{out: out, output: map[string][]string{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Action == "" {
			fmt.Fprintln(out, lines.Text()) // from go itself
			continue
		}
		r.take(&e)
	}
	if err := lines.Err(); err != nil {
		return false, err
	}
	unlisted := r.skips(allowed, root)
	fmt.Fprintf(out, "%d tests passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
	for _, name := range r.failed {
		fmt.Fprintln(out, "FAIL", name)
	}
	return len(r.failed) == 0 && unlisted == 0 && r.passed > 0, nil
}

func (r *run) take(e *event) {
	name := e.Package
	if e.Test != "" {
		name += "/" + e.Test
	}
	switch e.Action {
	case "output":
		r.output[name] = append(r.output[name], e.Output)
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.failed = append(r.failed, e.ImportPath+": build")
	case "pass":
		r.end(e, name, &r.passed)
	case "skip":
		if e.Test != "" {
			r.skipped = append(r.skipped, name+" "+reason(r.output[name]))
		}
		delete(r.output, name)
	case "fail":
		if e.Test == "" {
			r.unfinished(e.Package)
		}
		fmt.Fprint(r.out, strings.Join(r.output[name], ""))
		delete(r.output, name)
		r.failed = append(r.failed, name)
	}
}

// unfinished prints what is known of tests that ran when their program died.
func (r *run) unfinished(pkg string) {
	for _, name := range slices.Sorted(maps.Keys(r.output)) {
		if strings.HasPrefix(name, pkg+"/Test") || strings.HasPrefix(name, pkg+"/Fuzz") {
			fmt.Fprint(r.out, "unfinished: ", name, "\n", strings.Join(r.output[name], ""))
			delete(r.output, name)
		}
	}
}

// end forgets a test that passed and reports a package that did.
func (r *run) end(e *event, name string, count *int) {
	delete(r.output, name)
	if e.Test != "" {
		*count++
		return
	}
	fmt.Fprintf(r.out, "ok    %s %.1fs\n", e.Package, e.Elapsed)
}

// reason finds what a skipped test said.
func reason(output []string) string {
	for _, line := range output {
		if _, text, found := strings.Cut(line, ".go:"); found {
			_, text, _ = strings.Cut(text, ": ")
			return "(" + strings.TrimSpace(text) + ")"
		}
	}
	return "(no reason given)"
}

// skips prints all skips and counts those that are not to be.
func (r *run) skips(allowed map[string]string, root bool) (unlisted int) {
	slices.Sort(r.skipped)
	for _, line := range r.skipped {
		name, _, _ := strings.Cut(line, " ")
		if _, known := allowed[name]; root && !known {
			unlisted++
			fmt.Fprintln(r.out, "SKIP, not listed:", line)
			continue
		}
		fmt.Fprintln(r.out, "skip ", line)
	}
	return unlisted
}
