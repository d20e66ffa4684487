package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	passed  = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
	skipped = `{"Action":"output","Package":"p","Test":"TestB","Output":"    a_test.go:3: needs root: mounts\n"}` + "\n" +
		`{"Action":"skip","Package":"p","Test":"TestB"}` + "\n"
	failed = `{"Action":"output","Package":"p","Test":"TestC","Output":"wanted 1\n"}` + "\n" +
		`{"Action":"fail","Package":"p","Test":"TestC"}` + "\n"
	broken = `{"ImportPath":"q [q.test]","Action":"build-output","Output":"q.go:1: no\n"}` + "\n" +
		`{"ImportPath":"q [q.test]","Action":"build-fail"}` + "\n"
	died = `{"Action":"output","Package":"p","Test":"TestD","Output":"panic: test timed out\n"}` + "\n" +
		`{"Action":"fail","Package":"p"}` + "\n"
	untested = `{"Action":"skip","Package":"r"}` + "\n"
)

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		in      string
		root    bool
		allowed string
		ok      bool
		says    string
	}{
		"pass":              {in: passed, root: true, ok: true, says: "1 tests passed"},
		"no test files":     {in: passed + untested, root: true, ok: true, says: "0 skipped"},
		"nothing ran":       {in: untested, ok: false, says: "0 tests passed"},
		"failure":           {in: passed + failed, ok: false, says: "wanted 1\n"},
		"does not build":    {in: passed + broken, ok: false, says: "q.go:1: no\n"},
		"program died":      {in: passed + died, ok: false, says: "unfinished: p/TestD\npanic: test timed out\n"},
		"skip as user":      {in: passed + skipped, ok: true, says: "skip  p/TestB (needs root: mounts)"},
		"skip as root":      {in: passed + skipped, root: true, ok: false, says: "SKIP, not listed: p/TestB"},
		"listed skip":       {in: passed + skipped, root: true, allowed: "p/TestB because\n", ok: true, says: "1 skipped"},
		"another is listed": {in: passed + skipped, root: true, allowed: "p/Test because\n", ok: false, says: "SKIP"},
		"words of go":       {in: "go: no such package\n" + passed, ok: true, says: "go: no such package\n"},
	} {
		t.Run(name, func(t *testing.T) {
			allowed, err := parseSkips(c.allowed)
			require.NoError(t, err)
			var out strings.Builder
			ok, err := judge(strings.NewReader(c.in), &out, allowed, c.root)
			require.NoError(t, err)
			assert.Equal(t, c.ok, ok, out.String())
			assert.Contains(t, out.String(), c.says)
		})
	}
}

func TestSkipsNeedAReason(t *testing.T) {
	_, err := parseSkips("# a comment\n\np/TestB\n")
	assert.ErrorContains(t, err, "p/TestB")
}
