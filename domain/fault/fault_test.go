package fault_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

func TestKindsAreTargets(t *testing.T) {
	err := fmt.Errorf("outside: %w", fault.Wrap(fs.ErrNotExist, fault.NotFound, "cannot open '%s'", "/x"))
	assert.ErrorIs(t, err, fault.NotFound)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.NotErrorIs(t, err, fault.Internal)
	assert.Equal(t, fault.NotFound, fault.KindOf(err))
	assert.Equal(t, fault.Internal, fault.KindOf(errors.New("foreign")))
	assert.Equal(t, fault.Internal, fault.KindOf(nil))
}

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for k := fault.Internal; k <= fault.AuthUnavailable; k++ {
		assert.NotEmpty(t, k.Error(), "kind %d", k)
		assert.False(t, seen[k.Error()], "%s twice", k)
		seen[k.Error()] = true
	}
	assert.Equal(t, "unknown fault", (fault.AuthUnavailable + 1).Error())
}

func TestMessages(t *testing.T) {
	cause := errors.New("cause")
	for _, test := range []struct {
		err           *fault.Error
		message, full string
	}{
		{&fault.Error{}, "internal error", "internal error"},
		{&fault.Error{Kind: fault.Busy}, "busy", "busy"},
		{&fault.Error{Err: cause}, "cause", "cause"},
		{fault.New(fault.Failed, fault.API, "cannot %s", "do"), "cannot do", "cannot do"},
		{fault.Wrap(cause, fault.System, "cannot do"), "cannot do: cause", "cannot do: cause"},
		{&fault.Error{Op: "start", Subject: "web", Text: "no", Err: cause}, "no: cause", "start web: no: cause"},
		{&fault.Error{Op: "start", Text: "no"}, "no", "start no"},
		{&fault.Error{Subject: "web", Text: "no"}, "no", "web: no"},
	} {
		assert.Equal(t, test.message, test.err.Message())
		assert.EqualError(t, test.err, test.full)
	}
}

func TestDuringFillsInWhatIsMissing(t *testing.T) {
	assert.NoError(t, fault.During(nil, "start", "web"))

	original := fault.NotRunning()
	var named *fault.Error
	require.ErrorAs(t, fault.During(original, "suspend", "web"), &named)
	assert.Equal(t, "suspend web: domain is not running", named.Error())
	assert.Empty(t, original.Op, "the original is shared and stays as it is")

	require.ErrorAs(t, fault.During(named, "resume", "db"), &named)
	assert.Equal(t, "suspend", named.Op)
	assert.Equal(t, "web", named.Subject)

	foreign := errors.New("foreign")
	require.ErrorAs(t, fault.During(foreign, "start", "web"), &named)
	assert.ErrorIs(t, named, foreign)
	assert.Equal(t, fault.Internal, named.Kind)
}

// TestDuringKeepsWhatIsOutside: what others wrapped around a fault still counts.
func TestDuringKeepsWhatIsOutside(t *testing.T) {
	outer := errors.New("outer")
	joined := errors.Join(outer, fault.NotRunning())
	err := fault.During(joined, "start", "web")
	assert.ErrorIs(t, err, fault.WrongState)
	assert.ErrorIs(t, err, outer)
}

// TestFixedTexts are compared by clients and their suites, with their codes.
func TestFixedTexts(t *testing.T) {
	const uuid = "00000000-0000-0000-0000-000000000001"
	for text, err := range map[string]*fault.Error{
		"domain is not running":                                              fault.NotRunning(),
		"Domain is already running":                                          fault.AlreadyRunning(),
		"domain 'web' is already active":                                     fault.AlreadyActive("web"),
		"domain is already running":                                          fault.NotPaused(),
		"transient domains do not have any persistent config":                fault.NoPersistent(),
		"Cannot undefine transient domain":                                   fault.UndefineTransient(),
		"Cannot set autostart for transient domain":                          fault.AutostartTransient(),
		"No domain with matching id 7":                                       fault.NoSuchID(7),
		"No domain with matching name 'web'":                                 fault.NoSuchName("web"),
		"No domain with matching uuid '" + uuid + "'":                        fault.NoSuchUUID(uuid),
		"no domain with matching uuid '" + uuid + "' (web)":                  fault.Gone(uuid, "web"),
		"domain 'web' already exists with uuid " + uuid:                      fault.NameTaken("web", uuid),
		"domain 'web' is already defined with uuid " + uuid:                  fault.UUIDTaken("web", uuid),
		"cannot acquire state change lock (held by monitor=virDomainCreate)": fault.JobTimeout("virDomainCreate"),
		"'LXC' denied access":                                                fault.Denied("LXC"),
		"read only access prevents virDomainCreate":                          fault.ReadOnlyCall("virDomainCreate"),
	} {
		assert.Equal(t, text, err.Message())
	}
	for kind, errs := range map[fault.Kind][]error{
		fault.WrongState: {fault.NotRunning(), fault.AlreadyRunning(), fault.AlreadyActive(""), fault.NotPaused(),
			fault.NoPersistent(), fault.UndefineTransient(), fault.AutostartTransient()},
		fault.NotFound:     {fault.NoSuchID(1), fault.NoSuchName(""), fault.NoSuchUUID(""), fault.Gone("", "")},
		fault.Failed:       {fault.NameTaken("", ""), fault.UUIDTaken("", "")},
		fault.Timeout:      {fault.JobTimeout("")},
		fault.AccessDenied: {fault.Denied("")},
		fault.ReadOnly:     {fault.ReadOnlyCall("")},
	} {
		for _, err := range errs {
			assert.ErrorIs(t, err, kind)
		}
	}
}

// TestDuringKeepsWhatIsBeneath: what is beneath stays the same values.
func TestDuringKeepsWhatIsBeneath(t *testing.T) {
	beneath := fault.Wrap(fs.ErrPermission, fault.System, "cannot write")
	outer := fault.Wrap(beneath, fault.Failed, "cannot save")
	var named *fault.Error
	require.ErrorAs(t, fault.During(outer, "define", "web"), &named)
	assert.Equal(t, "define web: cannot save: cannot write: permission denied", named.Error())
	assert.Equal(t, "cannot save: cannot write: permission denied", named.Message())
	assert.Same(t, beneath, named.Err)
	assert.Equal(t, fault.Failed, fault.KindOf(named), "the outermost counts")
	assert.ErrorIs(t, named, fault.System, "and those beneath are still there")
	assert.ErrorIs(t, named, fs.ErrPermission)
}

// TestDuringFillsInOneByOne: an operation without a subject gets one.
func TestDuringFillsInOneByOne(t *testing.T) {
	for _, test := range []struct{ op, subject, want string }{
		{"", "", "start web: no"}, {"stop", "", "stop web: no"}, {"", "db", "start db: no"}, {"stop", "db", "stop db: no"},
	} {
		err := &fault.Error{Op: test.op, Subject: test.subject, Text: "no", Area: fault.Hook, Kind: fault.Busy}
		got := fault.During(err, "start", "web")
		assert.EqualError(t, got, test.want)
		var named *fault.Error
		require.ErrorAs(t, got, &named)
		assert.Equal(t, fault.Hook, named.Area)
		assert.Equal(t, fault.Busy, named.Kind)
	}
	// One that was wrapped by something foreign keeps kind and area.
	wrapped := fmt.Errorf("outside: %w", fault.New(fault.Timeout, fault.Network, "late"))
	var named *fault.Error
	require.ErrorAs(t, fault.During(wrapped, "start", "web"), &named)
	assert.Equal(t, fault.Timeout, named.Kind)
	assert.Equal(t, fault.Network, named.Area)
	assert.EqualError(t, named, "start web: outside: late")
}

// TestTextsAreNoFormats: what others wrote is an argument, never a format.
func TestTextsAreNoFormats(t *testing.T) {
	const name = "100%d %s"
	for _, err := range []*fault.Error{
		fault.NoSuchName(name), fault.AlreadyActive(name), fault.NameTaken(name, "u"), fault.JobTimeout(name), fault.Gone("u", name),
	} {
		assert.Contains(t, err.Message(), name)
		assert.NotContains(t, err.Message(), "MISSING")
	}
}

// TestKindsAreOnlyThemselves: a target of another kind, or none, does not match.
func TestKindsAreOnlyThemselves(t *testing.T) {
	for k := fault.Internal; k <= fault.AuthUnavailable; k++ {
		err := error(&fault.Error{Kind: k})
		for other := fault.Internal; other <= fault.AuthUnavailable; other++ {
			assert.Equal(t, k == other, errors.Is(err, other), "%s is %s", k, other)
		}
		assert.NotErrorIs(t, err, &fault.Error{Kind: k}, "another error of the kind is another error")
	}
}
