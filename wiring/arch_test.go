package wiring

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// module is the path of this module: whatever is imported from it is ours.
const module = "virtlxcd"

// topLevel is all that may lie in the root of the tree.
var topLevel = []string{
	"domain", "ports", "adapters", "app", "cmd", "wiring", "fakes", "docs", ".ci",
	"go.mod", "go.sum", "Makefile", "README.md", "HACKING.md", "CHANGELOG.md", "LICENSE", ".gitignore", ".golangci.yml",
}

// meaningless names say nothing about what a package is for.
var meaningless = []string{"util", "utils", "common", "types", "manager", "base"}

// testTools are the third-party packages of tests.
var testTools = []string{
	"github.com/stretchr/testify", "go.uber.org/goleak", "pgregory.net/rapid",
	"github.com/rogpeppe/go-internal", "github.com/google/go-cmp",
}

// rule says what the code of a folder and all below it may import. Tests may
// import testTools, testOwn and every standard package as well. Patterns cover
// a path and everything below it.
type rule struct {
	folder     string
	own        []string // of this module
	testOwn    []string // of this module, in tests only
	onlyStd    []string // standard packages; nil: all but noStd
	noStd      []string // standard packages, less std
	std        []string // exceptions from noStd
	thirdParty bool
}

// rules are section 3 of the architecture; the longest matching folder counts.
var rules = []rule{
	{
		folder: "domain", own: []string{"domain"},
		noStd: []string{
			"os", "net", "syscall", "context", "sync", "log", "encoding/xml", "encoding/json", "encoding/gob",
			"unsafe", "runtime", "testing", "database", "plugin", "flag", "embed",
		},
		std: []string{"net/netip"},
	},
	{
		folder: "ports", own: []string{"domain", "ports"},
		onlyStd: []string{"context", "io", "os", "time"},
	},
	{
		folder: "ports/porttest", own: []string{"domain", "ports"}, thirdParty: true,
		noStd: []string{"net", "os/exec"}, std: []string{"net/netip"},
	},
	{
		folder: "app", own: []string{"domain", "ports", "app"}, testOwn: []string{"fakes"},
		noStd: []string{"os/exec", "net", "syscall", "unsafe"}, std: []string{"net/netip"},
	},
	// A family is added by ruleFor.
	{folder: "adapters", own: []string{"domain", "ports"}, thirdParty: true},
	{
		folder: "fakes", own: []string{"domain", "ports"},
		noStd: []string{"os/exec", "net", "unsafe"}, std: []string{"net/netip"},
	},
	{
		folder: "wiring", own: []string{"domain", "ports", "app", "adapters", "fakes", "wiring"},
		thirdParty: true,
	},
	{folder: "cmd", own: []string{"wiring", "adapters"}, thirdParty: true},
}

// small are the packages that a controller process is made of. What they must
// not import would be most of its memory.
var small = []string{
	"domain/launch/step", "ports/hold", "app/controller", "adapters/linux/stage", "adapters/control/wire",
}

// encoding/binary is not among them: the system call package brings it anyway.
var large = []string{"fmt", "os", "net", "log", "encoding/json", "encoding/xml", "encoding/hex", "encoding/gob", "reflect"}

// covers says whether some pattern is p or lies above it.
func covers(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return p == pattern || strings.HasPrefix(p, pattern+"/")
	})
}

// ruleFor finds the rule of a folder and adds the adapter family.
func ruleFor(dir string) (found rule, ok bool) {
	for _, r := range rules {
		if covers([]string{r.folder}, dir) && len(r.folder) > len(found.folder) {
			found, ok = r, true
		}
	}
	if found.folder == "adapters" {
		parts := strings.SplitN(dir, "/", 3)
		if len(parts) < 2 {
			return rule{}, false
		}
		found.own = append(slices.Clone(found.own), path.Join(parts[:2]...))
	}
	return found, ok
}

// source is one parsed file.
type source struct {
	name    string // with its folder, from the root
	dir     string
	pkg     string
	test    bool
	imports []string
	clock   []string // uses of the clock
}

// readTree parses all Go files below root but for testdata and hidden folders.
func readTree(root string) (sources []source, err error) {
	err = filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := at != root && strings.HasPrefix(entry.Name(), ".")
		if entry.IsDir() {
			if hidden || entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if hidden || filepath.Ext(at) != ".go" {
			return nil
		}
		one, err := readSource(root, at)
		sources = append(sources, one)
		return err
	})
	return sources, err
}

func readSource(root, at string) (source, error) {
	name, err := filepath.Rel(root, at)
	if err != nil {
		return source{}, err
	}
	name = filepath.ToSlash(name)
	s := source{name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go")}
	mode := parser.ImportsOnly
	if covers([]string{"domain"}, s.dir) {
		mode = parser.SkipObjectResolution // whole: calls count there
	}
	file, err := parser.ParseFile(token.NewFileSet(), at, nil, mode)
	if err != nil {
		return source{}, err
	}
	s.pkg = file.Name.Name
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.imports = append(s.imports, imported)
	}
	s.clock = clockUses(file)
	return s, nil
}

// clockUses finds calls of package time that look at the clock or wait for it.
func clockUses(file *ast.File) (uses []string) {
	asking := []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if left, ok := selector.X.(*ast.Ident); ok && left.Name == "time" && slices.Contains(asking, selector.Sel.Name) {
			uses = append(uses, "time."+selector.Sel.Name)
		}
		return true
	})
	return uses
}

// violations checks a whole tree.
func violations(root string) (found []string, err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name := entry.Name()
		if !slices.Contains(topLevel, name) && !disregarded(root, name) {
			found = append(found, name+": not allowed in the root")
		}
	}
	sources, err := readTree(root)
	if err != nil {
		return nil, err
	}
	for i := range sources {
		found = append(found, sources[i].violations()...)
	}
	return found, nil
}

// disregarded entries are not part of the source: the repository itself and
// what .gitignore lists.
func disregarded(root, name string) bool {
	if name == ".git" {
		return true
	}
	ignored, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(ignored)) {
		if strings.Trim(strings.TrimSpace(line), "/") == name {
			return true
		}
	}
	return false
}

func (s *source) violations() (found []string) {
	complain := func(format string, args ...any) {
		found = append(found, s.name+": "+fmt.Sprintf(format, args...))
	}
	if slices.Contains(meaningless, s.pkg) || slices.Contains(meaningless, path.Base(s.dir)) {
		complain("package name %q says nothing", path.Base(s.dir))
	}
	r, ok := ruleFor(s.dir)
	if !ok {
		complain("no rule for this folder")
		return found
	}
	for _, imported := range s.imports {
		if why := s.forbids(&r, imported); why != "" {
			complain("imports %s: %s", imported, why)
		}
	}
	if covers([]string{"domain"}, s.dir) && !s.test {
		for _, use := range s.clock {
			complain("uses %s: time is an argument", use)
		}
	}
	return found
}

// forbids says why a file may not import a package; empty if it may.
func (s *source) forbids(r *rule, imported string) string {
	switch {
	case imported == "C":
		return "no cgo"
	case imported == "unsafe" && !unsafeFile(s.name):
		return "only files named ..._unsafe.go"
	case covers([]string{module}, imported):
		return s.forbidsOwn(r, strings.TrimPrefix(strings.TrimPrefix(imported, module), "/"))
	case !standard(imported):
		return s.forbidsThirdParty(r, imported)
	}
	return s.forbidsStandard(r, imported)
}

func unsafeFile(name string) bool {
	return strings.HasSuffix(name, "_unsafe.go") || strings.HasSuffix(name, "_unsafe_test.go")
}

// standard packages have no dot in the first part of their path.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func (s *source) forbidsOwn(r *rule, imported string) string {
	switch {
	case covers([]string{"ports/porttest"}, imported) && !s.test && r.folder != "ports/porttest":
		return "only tests use the contract suites"
	case covers(r.own, imported), s.test && covers(r.testOwn, imported):
		return ""
	case s.test && covers([]string{s.dir}, imported): // an external test of the package itself
		return ""
	case r.folder == "adapters" && covers([]string{"adapters"}, imported):
		return "adapter families never meet"
	}
	return r.folder + " may not use it"
}

func (s *source) forbidsThirdParty(r *rule, imported string) string {
	switch {
	case covers(testTools, imported) && (s.test || r.folder == "ports/porttest"):
		return ""
	case covers(testTools, imported):
		return "only tests use it"
	case r.folder == "ports/porttest" || !r.thirdParty:
		return r.folder + " uses no third-party code"
	}
	return ""
}

func (s *source) forbidsStandard(r *rule, imported string) string {
	switch {
	case s.test:
		return ""
	case slices.Contains(small, s.dir) && covers(large, imported):
		return "too large for the controller"
	case imported == "unsafe" && unsafeFile(s.name) && covers([]string{"adapters", "wiring"}, s.dir):
		return ""
	case r.onlyStd != nil && !slices.Contains(r.onlyStd, imported):
		return r.folder + " may not use it"
	case covers(r.noStd, imported) && !slices.Contains(r.std, imported):
		return r.folder + " may not use it"
	}
	return ""
}

// TestArchitecture checks this very tree.
func TestArchitecture(t *testing.T) {
	found, err := violations("..")
	require.NoError(t, err)
	assert.Empty(t, found, strings.Join(found, "\n"))
}

// linked lists the packages of this module that a program is made of.
func linked(t *testing.T, program string) []string {
	t.Helper()
	if files, err := filepath.Glob(filepath.Join("..", program, "*.go")); err != nil || len(files) == 0 {
		t.Skipf("there is no %s", program)
	}
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+program)
	command.Dir = ".."
	command.Stderr = os.Stderr
	out, err := command.Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

func TestProgramsDoNotLinkFakes(t *testing.T) {
	for _, program := range []string{"cmd/virtlxcd", "cmd/libvirt_lxc"} {
		t.Run(path.Base(program), func(t *testing.T) {
			packages := linked(t, program)
			require.Contains(t, packages, module+"/"+program)
			for _, tests := range []string{"fakes", "ports/porttest", "wiring/harness"} {
				assert.NotContains(t, packages, module+"/"+tests)
			}
			for _, tool := range packages {
				assert.False(t, covers(testTools, tool), tool)
			}
		})
	}
}

// TestControllerIsSmall holds the program to what the rule for its packages is
// meant for.
func TestControllerIsSmall(t *testing.T) {
	packages := linked(t, "cmd/libvirt_lxc")
	for _, heavy := range []string{"fmt", "net", "log", "log/slog", "encoding/json", "encoding/xml"} {
		assert.NotContains(t, packages, heavy)
	}
}

// plant writes a tree of files.
func plant(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(text), 0o644))
	}
	return root
}

// importing is a file that imports.
func importing(pkg string, imports ...string) string {
	text := "package " + pkg + "\n"
	for _, imported := range imports {
		text += "import _ " + strconv.Quote(imported) + "\n"
	}
	return text
}

func TestCheckerLetsGoodTreesPass(t *testing.T) {
	root := plant(t, map[string]string{
		"go.mod":                             "module virtlxcd\n",
		".gitignore":                         "/bin/\n*.test\n",
		"bin/built.sh":                       "",
		".git/util/x.go":                     importing("util"),
		"domain/device/device.go":            importing("device", "net/netip", "fmt", "virtlxcd/domain/fault"),
		"domain/device/device_test.go":       importing("device", "os", "github.com/stretchr/testify/assert"),
		"domain/device/testdata/x.go":        "not even Go",
		"domain/clock/clock.go":              "package clock\nimport \"time\"\nvar X = time.Second\n",
		"ports/ports.go":                     importing("ports", "context", "io", "os", "time", "virtlxcd/domain/device"),
		"ports/porttest/store.go":            importing("porttest", "testing", "syscall", "github.com/stretchr/testify/assert"),
		"app/driver/driver.go":               importing("driver", "sync", "log/slog", "virtlxcd/app/jobs", "virtlxcd/ports"),
		"app/driver/driver_test.go":          importing("driver_test", "virtlxcd/fakes", "virtlxcd/app/driver", "go.uber.org/goleak"),
		"adapters/linux/pty/pty.go":          importing("pty", "syscall", "golang.org/x/sys/unix", "virtlxcd/adapters/linux/process"),
		"adapters/linux/pty/call_unsafe.go":  importing("pty", "unsafe"),
		"adapters/linux/pty/pty_test.go":     importing("pty", "virtlxcd/ports/porttest"),
		"adapters/control/wire/wire.go":      importing("wire", "errors", "golang.org/x/sys/unix"),
		"adapters/control/wire/wire_test.go": importing("wire", "fmt"),
		"fakes/host.go":                      importing("fakes", "os", "syscall", "virtlxcd/ports"),
		"wiring/harness/harness.go":          importing("harness", "virtlxcd/fakes", "virtlxcd/adapters/rpc", "virtlxcd/app/driver"),
		"cmd/virtlxcd/main.go":               importing("main", "os", "virtlxcd/wiring/daemon", "github.com/spf13/pflag"),
	})
	found, err := violations(root)
	require.NoError(t, err)
	assert.Empty(t, found)
}

func TestCheckerFinds(t *testing.T) {
	const clock = "package clock\nimport \"time\"\nvar X = time.Now()\n"
	for name, file := range map[string]struct{ name, text, want string }{
		"domain: os":               {"domain/a/a.go", importing("a", "os"), "domain may not use it"},
		"domain: below a ban":      {"domain/a/a.go", importing("a", "sync/atomic"), "domain may not use it"},
		"domain: xml":              {"domain/a/a.go", importing("a", "encoding/xml"), "domain may not use it"},
		"domain: ports":            {"domain/a/a.go", importing("a", "virtlxcd/ports"), "domain may not use it"},
		"domain: third party":      {"domain/a/a.go", importing("a", "golang.org/x/sys/unix"), "no third-party code"},
		"domain: the clock":        {"domain/a/a.go", clock, "time.Now"},
		"domain: tests and fakes":  {"domain/a/a_test.go", importing("a", "virtlxcd/fakes"), "domain may not use it"},
		"ports: app":               {"ports/a.go", importing("ports", "virtlxcd/app/driver"), "ports may not use it"},
		"ports: sync":              {"ports/a.go", importing("ports", "sync"), "ports may not use it"},
		"ports: third party":       {"ports/a.go", importing("ports", "golang.org/x/sys/unix"), "no third-party code"},
		"porttest: third party":    {"ports/porttest/a.go", importing("porttest", "golang.org/x/sys/unix"), "no third-party code"},
		"porttest: adapters":       {"ports/porttest/a.go", importing("porttest", "virtlxcd/adapters/store"), "porttest may not use it"},
		"app: adapters":            {"app/a/a.go", importing("a", "virtlxcd/adapters/store"), "app may not use it"},
		"app: adapters in tests":   {"app/a/a_test.go", importing("a", "virtlxcd/adapters/store"), "app may not use it"},
		"app: fakes":               {"app/a/a.go", importing("a", "virtlxcd/fakes"), "app may not use it"},
		"app: wiring":              {"app/a/a.go", importing("a", "virtlxcd/wiring/sets"), "app may not use it"},
		"app: net":                 {"app/a/a.go", importing("a", "net"), "app may not use it"},
		"app: exec":                {"app/a/a.go", importing("a", "os/exec"), "app may not use it"},
		"app: syscall":             {"app/a/a.go", importing("a", "syscall"), "app may not use it"},
		"app: third party":         {"app/a/a.go", importing("a", "golang.org/x/sync/errgroup"), "no third-party code"},
		"app: test tools":          {"app/a/a.go", importing("a", "go.uber.org/goleak"), "only tests use it"},
		"adapters: another":        {"adapters/rpc/a.go", importing("rpc", "virtlxcd/adapters/domxml"), "never meet"},
		"adapters: similar name":   {"adapters/rpc/a.go", importing("rpc", "virtlxcd/adapters/rpcx"), "never meet"},
		"adapters: tests":          {"adapters/rpc/a_test.go", importing("rpc", "virtlxcd/adapters/domxml"), "never meet"},
		"adapters: app":            {"adapters/rpc/a.go", importing("rpc", "virtlxcd/app/driver"), "adapters may not use it"},
		"adapters: fakes in tests": {"adapters/rpc/a_test.go", importing("rpc", "virtlxcd/fakes"), "adapters may not use it"},
		"adapters: suites":         {"adapters/rpc/a.go", importing("rpc", "virtlxcd/ports/porttest"), "only tests"},
		"adapters: no family":      {"adapters/a.go", importing("adapters"), "no rule"},
		"fakes: adapters":          {"fakes/a.go", importing("fakes", "virtlxcd/adapters/domxml"), "fakes may not use it"},
		"fakes: third party":       {"fakes/a.go", importing("fakes", "golang.org/x/sys/unix"), "no third-party code"},
		"fakes: net":               {"fakes/a.go", importing("fakes", "net"), "fakes may not use it"},
		"cmd: app":                 {"cmd/a/a.go", importing("main", "virtlxcd/app/driver"), "cmd may not use it"},
		"cmd: domain":              {"cmd/a/a.go", importing("main", "virtlxcd/domain/host"), "cmd may not use it"},
		"cmd: fakes":               {"cmd/a/a.go", importing("main", "virtlxcd/fakes"), "cmd may not use it"},
		"cgo":                      {"adapters/rpc/a.go", importing("rpc", "C"), "no cgo"},
		"unsafe":                   {"adapters/rpc/a.go", importing("rpc", "unsafe"), "_unsafe.go"},
		"unsafe in domain":         {"domain/a/a_unsafe.go", importing("a", "unsafe"), "domain may not use it"},
		"controller: fmt":          {"domain/launch/step/a.go", importing("step", "fmt"), "too large"},
		"controller: encoding":     {"adapters/control/wire/a.go", importing("wire", "encoding/json"), "too large"},
		"controller: os":           {"adapters/linux/stage/a.go", importing("stage", "os"), "too large"},
		"controller: reflect":      {"app/controller/a.go", importing("controller", "reflect"), "too large"},
		"folder name":              {"app/util/a.go", importing("helpers"), "says nothing"},
		"package name":             {"app/a/a.go", importing("common"), "says nothing"},
		"folder in the root":       {"pkg/a/a.go", importing("a"), "not allowed in the root"},
		"file in the root":         {"main.go", importing("main"), "not allowed in the root"},
		"note in the root":         {"NOTES.md", "", "not allowed in the root"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := violations(plant(t, map[string]string{file.name: file.text}))
			require.NoError(t, err)
			assert.Contains(t, strings.Join(found, "\n"), file.want)
		})
	}
}

func TestCheckerFailsOnWhatIsNotGo(t *testing.T) {
	_, err := violations(plant(t, map[string]string{"app/a/a.go": "pakkage a"}))
	assert.Error(t, err)
}
