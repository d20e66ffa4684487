package logging

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

func TestFilters(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		"  ":                          "",
		"3:remote":                    "3:*remote* ",
		"1:lxc 4:util.c*f":            "1:*lxc* 4:*util.c*f* ",
		" 2:+rpc  2:rpc ":             "2:*rpc* 2:*rpc* ",
		"1:++x":                       "1:*+x* ",
		"1:" + strings.Repeat("*", 9): "1:***********" + " ",
	} {
		list, err := parseFilters(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, list.String(), text)
	}
	for text, want := range map[string]string{
		"x":                                   "Malformed format for filter 'x'",
		"3":                                   "Malformed format for filter '3'",
		"3:a:b":                               "Malformed format for filter '3:a:b'",
		"1:a 0:b":                             "Invalid priority '0' for filter '0:b'",
		"5:b":                                 "Invalid priority '5' for filter '5:b'",
		":b":                                  "Invalid priority '' for filter ':b'",
		"-1:b":                                "Invalid priority '-1' for filter '-1:b'",
		"debug:b":                             "Invalid priority 'debug' for filter 'debug:b'",
		"11:b":                                "Invalid priority '11' for filter '11:b'",
		"1:":                                  "Invalid match string ''",
		"1:+":                                 "Invalid match string '+'",
		strings.Repeat("x", longestSetting+1): "log filters of 65537 bytes are too long",
		manyFilters:                           "1025 log filters are too many",
	} {
		_, err := parseFilters(text)
		require.ErrorIs(t, err, fault.InvalidArgument, text)
		assert.EqualError(t, err, want)
	}
}

var manyFilters = strings.Repeat("1:x ", mostFilters+1)

func TestTheFirstFilterDecides(t *testing.T) {
	list, err := parseFilters("4:lxc.driver 1:lxc 2:*n*t*")
	require.NoError(t, err)
	for category, want := range map[string]priority{
		"lxc.driver": failure, "lxc.jobs": debug, "util.netlink": info, "rpc.server": warning, "": warning,
	} {
		assert.Equal(t, want, list.of(category, warning), category)
	}
	assert.Equal(t, debug, list.lowest(failure))
	assert.Equal(t, warning, filters(nil).lowest(warning))
	assert.Equal(t, info, filters{{failure, "*"}}.lowest(info))
}

func TestGlob(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"*lxc*", "lxc", true}, {"*lxc*", "a.lxc.b", true}, {"*lxc*", "lx", false}, {"*", "", true}, {"**", "x", true},
		{"*a?c*", "xabcx", true}, {"*a?c*", "xacx", false}, {"*ab*ab*", "abab", true}, {"*ab*ab*", "abxa", false},
		{"a*b", "aXbXb", true}, {"a*b", "aXbX", false}, {"", "", true}, {"", "x", false}, {"*[*", "a[b", true}, {"?", "", false},
	} {
		assert.Equal(t, test.want, glob(test.pattern, test.text), "%q %q", test.pattern, test.text)
	}
	begun := time.Now()
	assert.False(t, glob(strings.Repeat("*a", 1000)+"b*", strings.Repeat("a", 2000)))
	assert.Less(t, time.Since(begun), 5*time.Second, "no exponential search")
}

func FuzzFilters(f *testing.F) {
	for _, text := range []string{"3:remote", "1:lxc 4:+util", "x", "1:", ":", "1:a:b", "9:z"} {
		f.Add(text, "lxc.driver")
	}
	f.Fuzz(func(t *testing.T, text, category string) {
		list, err := parseFilters(text)
		if err != nil {
			require.ErrorIs(t, err, fault.InvalidArgument)
			return
		}
		require.LessOrEqual(t, len(list), mostFilters)
		got := list.of(category, warning)
		require.Contains(t, []priority{debug, info, warning, failure}, got)
		require.GreaterOrEqual(t, got, list.lowest(warning))
		again, err := parseFilters(list.String())
		require.NoError(t, err, "what is listed can be set")
		require.Equal(t, got, again.of(category, warning), "and means the same")
	})
}
