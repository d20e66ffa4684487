package settings

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// String prints a value so that every field shows.
func (v value) String() string {
	switch {
	case v.kind == text:
		return fmt.Sprintf("%q", v.text)
	case v.kind == list:
		return fmt.Sprint(v.list)
	case v.overflow:
		return "huge"
	case v.negative:
		return fmt.Sprint("-", v.magnitude)
	}
	return fmt.Sprint(v.magnitude)
}

func printed(entries []entry) string {
	var lines []string
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("%d %s=%s", e.line, e.key, e.value))
	}
	return strings.Join(lines, "; ")
}

func TestGrammar(t *testing.T) {
	for file, want := range map[string]string{
		"":                                   "",
		"\n \t\n\r\n# only = 1 ; comments":   "",
		"a = 1":                              "1 a=1",
		"a=1\nb=2\n":                         "1 a=1; 2 b=2",
		"a=1;b=2;\n;":                        "error",
		"a = 1 ; b = 2 ; # x\n c=3":          "1 a=1; 1 b=2; 2 c=3",
		"a=1\r\nb=2\rc=3":                    "1 a=1; 2 b=2; 2 c=3",
		"\ta\t=\t1\t\n":                      "1 a=1",
		"a=1#b=2;c=3\nd=4":                   "1 a=1; 2 d=4",
		"# x\ra=1\nb=2":                      "1 a=1; 2 b=2",
		"a=1;a=2":                            "1 a=1; 1 a=2",
		"a_B9 = 'x'":                         `1 a_B9="x"`,
		`a = 'say "x"'`:                      `1 a="say \"x\""`,
		`a = "it's"`:                         `1 a="it's"`,
		`a = "\"`:                            `1 a="\\"`,
		`a = "# ; = ["`:                      `1 a="# ; = ["`,
		"a = ''\nb = \"\"":                   `1 a=""; 2 b=""`,
		`a = """"""`:                         `1 a=""`,
		"a = \"\"\"x\n'y'\n\"z\n\"\"\"\nb=1": "1 a=\"x\\n'y'\\n\\\"z\\n\"; 5 b=1",
		"a = \"\u00fc\xff\"":                 `1 a="ü\xff"`,
		"a=+5;b=-5;c=0007":                   "1 a=5; 1 b=-5; 1 c=7",
		"a=18446744073709551615":             "1 a=18446744073709551615",
		"a=18446744073709551616":             "1 a=huge",
		"a=-99999999999999999999999999999":   "1 a=huge",
		"a=[]":                               "1 a=[]",
		"a = [ \r\n ]":                       "1 a=[]",
		"a=[1,'x',\"y\",-2]":                 `1 a=[1 "x" "y" -2]`,
		"a = [\n1\n,\n2\n,\n]\nb=1":          "1 a=[1 2]; 7 b=1",
		"a=[[1],[],[[2]]]":                   "1 a=[[1] [] [[2]]]",
	} {
		entries, err := parse([]byte(file), "f")
		if want == "error" {
			assert.Error(t, err, "%q", file)
			continue
		}
		require.NoError(t, err, "%q", file)
		assert.Equal(t, want, printed(entries), "%q", file)
	}
}

func TestSyntaxErrors(t *testing.T) {
	deep := strings.Repeat("[", 1<<20)
	many := strings.Repeat("a=1\n", maxValues)
	for file, want := range map[string]string{
		";a=1":                     "1: expecting a name",
		"a=1;;b=2":                 "1: expecting a name",
		"\n\n_a=1":                 "3: expecting a name",
		"1a=1":                     "1: expecting a name",
		"=1":                       "1: expecting a name",
		"\v":                       "1: expecting a name",
		"a=1\n\x00":                "2: expecting a name",
		"\xef\xbb\xbfa=1":          "1: expecting a name",
		"a":                        "1: expecting an assignment",
		"a\n=1":                    "1: expecting an assignment",
		"a.b=1":                    "1: expecting an assignment",
		"a b=1":                    "1: expecting an assignment",
		"a=":                       "1: expecting a value",
		"a=\n1":                    "1: expecting a value",
		"a=yes":                    "1: expecting a value",
		"a=#1":                     "1: expecting a value",
		"a=\x00":                   "1: expecting a value",
		"a=[,]":                    "1: expecting a value",
		"a=[1,\n\n,2]":             "3: expecting a value",
		"a=[1,\n # x\n]":           "2: expecting a value",
		"a='x\ny'":                 "1: unterminated string",
		"a='x\ry'":                 "1: unterminated string",
		"a=1\nb=\"x":               "2: unterminated string",
		"a='x\"":                   "1: unterminated string",
		"a=1\nb=\"\"\"x\ny\n\"\"z": "2: unterminated string",
		"a='x\x00y'":               "1: a string holds a NUL byte",
		"a=-":                      "1: unterminated number",
		"a=+x":                     "1: unterminated number",
		"a=- 5":                    "1: unterminated number",
		"a=5x":                     "1: expecting a separator",
		"a=0x10":                   "1: expecting a separator",
		"a=1.5":                    "1: expecting a separator",
		"a=--5":                    "1: unterminated number",
		"a=1 b=2":                  "1: expecting a separator",
		"a='''x'''":                "1: expecting a separator",
		"a=\"\"\"\"q\"\"\"\"":      "1: expecting a separator",
		"a=[1]]":                   "1: expecting a separator",
		"a=[1 2]":                  "1: expecting a separator in list",
		"a=[1;2]":                  "1: expecting a separator in list",
		"a=[1,2\n\nb=1":            "3: expecting a separator in list",
		"a=1\n\n\nb=[\n\n":         "6: list is not closed with ]",
		"a=[1":                     "1: list is not closed with ]",
		"a=[1,":                    "1: list is not closed with ]",
		"a=[[1]":                   "1: list is not closed with ]",
		"a=" + deep:                "1: lists are nested too deeply",
		many + "a=1":               fmt.Sprint(maxValues+1, ": too many values"),
	} {
		entries, err := parse([]byte(file), "/etc/x.conf")
		short := file[:min(len(file), 40)]
		assert.EqualError(t, err, "configuration file syntax error: /etc/x.conf:"+want, "%q", short)
		assert.ErrorIs(t, err, fault.Malformed)
		assert.Empty(t, entries, "%q", short)
	}
	_, err := parse([]byte(many), "f")
	require.NoError(t, err)
	_, err = parse(make([]byte, maxFileSize+1), "f")
	assert.ErrorContains(t, err, "larger than 10 MiB")
}

// FuzzParse: no input may panic, what is read is bounded, and what it holds,
// written once more, reads the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"a = 1 # x\nb = 'y'; c = [1, \"z\",\r\n[]]\n", "a = \"\"\"x\ny\"\"\"", "a=-", "a=[[[", "\xff=\x00",
		"max_clients = 99999999999999999999", "auth_unix_rw = \"none\"\nauth_unix_rw = 1\n",
	} {
		f.Add([]byte(seed))
	}
	for _, name := range []string{"virtlxcd.conf", "lxc.conf"} {
		data, err := DefaultFiles.ReadFile("defaults/" + name)
		require.NoError(f, err)
		f.Add([]byte(strings.ReplaceAll(string(data), "\n#", "\n")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parse(data, "f")
		if err != nil {
			require.Nil(t, entries)
			require.ErrorIs(t, err, fault.Malformed)
			return
		}
		again, err := parse([]byte(rewritten(t, entries)), "f")
		require.NoError(t, err)
		require.Len(t, again, len(entries))
		for i := range entries {
			require.Equal(t, entries[i].key, again[i].key)
			require.Equal(t, entries[i].value.String(), again[i].value.String())
		}
		d, notices, problems := parseDaemon(data, "f")
		if len(problems) == 0 {
			requireSound(t, d)
		}
		for _, problem := range append(problems, join(problems)) {
			require.True(t, problem == nil || strings.HasPrefix(problem.Error(), "f:"), "%v", problem)
		}
		for _, n := range notices {
			require.Positive(t, n.Line)
			require.NotContains(t, n.String(), "\n")
		}
		parseDriver(data, "f")
	})
}

// rewritten spells entries in another way than most files do.
func rewritten(t *testing.T, entries []entry) string {
	var spell func(v value) string
	spell = func(v value) string {
		switch {
		case v.kind == text && !strings.ContainsAny(v.text, "'\r\n"):
			return "'" + v.text + "'"
		case v.kind == text && !strings.ContainsAny(v.text, "\"\r\n"):
			return `"` + v.text + `"`
		case v.kind == text:
			return `"""` + v.text + `"""`
		case v.kind == list:
			all := "[\n"
			for _, element := range v.list {
				all += spell(element) + " ,"
			}
			return all + "]"
		case v.overflow:
			return "99999999999999999999"
		}
		return strings.ReplaceAll(v.String(), " ", "")
	}
	all := ""
	for _, e := range entries {
		require.NotEmpty(t, e.key)
		all += e.key + "=" + spell(e.value) + ";"
	}
	return all
}

// requireSound: what the rest of the daemon relies on.
func requireSound(t *testing.T, d Daemon) {
	require.LessOrEqual(t, d.MinWorkers, d.MaxWorkers)
	require.LessOrEqual(t, d.AdminMinWorkers, d.AdminMaxWorkers)
	require.LessOrEqual(t, d.MaxAnonymousClients, d.MaxClients)
	for _, positive := range []uint{d.MaxWorkers, d.AdminMaxWorkers, d.MaxClients, d.AdminMaxClients, d.MaxClientRequests, d.AdminMaxClientRequests, d.LogLevel} {
		require.Positive(t, positive)
	}
	require.GreaterOrEqual(t, d.KeepaliveInterval, time.Duration(0))
	require.LessOrEqual(t, d.UnixSockRWPerms, os.FileMode(0o777))
	if d.AuthUnixRW == AuthNone && !d.Given("unix_sock_rw_perms") {
		require.False(t, d.OpenToEveryone())
	}
}
