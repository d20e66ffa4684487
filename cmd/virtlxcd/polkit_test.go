package main_test

import (
	"encoding/xml"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// policy is what polkit reads.
type policy struct {
	XMLName xml.Name `xml:"policyconfig"`
	Vendor  string   `xml:"vendor"`
	Actions []struct {
		ID          string `xml:"id,attr"`
		Description string `xml:"description"`
		Message     string `xml:"message"`
		Any         string `xml:"defaults>allow_any"`
		Inactive    string `xml:"defaults>allow_inactive"`
		Active      string `xml:"defaults>allow_active"`
	} `xml:"action"`
}

// everybody is allowed to everybody; other actions of the interface to root.
var everybody = strings.Fields(`
	connect.getattr connect.read connect.search-domains connect.search-networks connect.search-storage-pools
	connect.search-node-devices connect.search-interfaces connect.search-secrets connect.search-nwfilters
	connect.search-nwfilter-bindings domain.getattr domain.read`)

func readPolicy(t *testing.T) (defaults map[string]string) {
	t.Helper()
	var p policy
	require.NoError(t, xml.Unmarshal([]byte(read(t, "polkit", "org.libvirt.virtlxcd.policy")), &p))
	defaults = map[string]string{}
	for _, action := range p.Actions {
		assert.NotContains(t, defaults, action.ID, "declared twice")
		assert.NotEmpty(t, action.Description, action.ID)
		assert.NotEmpty(t, action.Message, action.ID)
		assert.Equal(t, action.Any, action.Inactive, action.ID)
		assert.Equal(t, action.Any, action.Active, action.ID)
		defaults[action.ID] = action.Any
	}
	return defaults
}

// Where libvirt's packages are installed too, polkit takes either declaration
// of an action: they must not differ in what they allow.
func TestPolicyDefaults(t *testing.T) {
	defaults := readPolicy(t)
	assert.Equal(t, "yes", defaults["org.libvirt.unix.monitor"])
	assert.Equal(t, "auth_admin_keep", defaults["org.libvirt.unix.manage"])
	allowed := []string{}
	for id, value := range defaults {
		permission, isCall := strings.CutPrefix(id, "org.libvirt.api.")
		switch {
		case !isCall:
		case value == "yes":
			allowed = append(allowed, permission)
		default:
			assert.Equal(t, "no", value, id)
		}
	}
	assert.ElementsMatch(t, everybody, allowed)
	assert.Len(t, defaults, 2+14+31, "rights on connections and on containers")
}

// An action that nobody has declared is refused to everybody.
func TestPolicyDeclaresEveryPermission(t *testing.T) {
	defaults := readPolicy(t)
	permissions := declaredPermissions(t)
	require.NotEmpty(t, permissions)
	for _, permission := range permissions {
		assert.Contains(t, defaults, "org.libvirt.api."+permission)
	}
}

// declaredPermissions reads the constants of type Permission from the sources:
// this package is too far outside to import them.
func declaredPermissions(t *testing.T) (permissions []string) {
	t.Helper()
	files, err := filepath.Glob("../../domain/access/*.go")
	require.NoError(t, err)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok {
				permissions = append(permissions, permissionsOf(t, spec)...)
			}
			return true
		})
	}
	return permissions
}

// permissionsOf are the values of one declaration of constants.
func permissionsOf(t *testing.T, spec *ast.ValueSpec) (permissions []string) {
	t.Helper()
	if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Permission" {
		return nil
	}
	for _, value := range spec.Values {
		text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
		require.NoError(t, err)
		permissions = append(permissions, text)
	}
	return permissions
}

func TestRuleNamesDeclaredActions(t *testing.T) {
	defaults := readPolicy(t)
	rule := read(t, "polkit", "60-virtlxcd.rules")
	ids := regexp.MustCompile(`"(org\.[^"]+)"`).FindAllStringSubmatch(rule, -1)
	require.Len(t, ids, 1, "the group is let in; what it may do then is for access_drivers")
	assert.Contains(t, defaults, ids[0][1])
	assert.Contains(t, rule, `isInGroup("libvirt")`)
}
