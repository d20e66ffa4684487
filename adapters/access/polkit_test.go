package access

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// policy is an authority that allows what is listed, and remembers what it is asked.
type policy struct {
	allowed map[string]bool
	fail    error
	asked   []string
	details map[string]string
	caller  access.Caller
}

func (p *policy) Authorized(_ context.Context, caller access.Caller, action string, details map[string]string) (bool, error) {
	p.asked = append(p.asked, action)
	p.details, p.caller = details, caller
	return p.allowed[action], p.fail
}

var (
	bob = access.Caller{UID: 1000, GID: 100, PID: 4711, Start: 99}
	web = ports.AccessObject{Name: "web", UUID: [16]byte{0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x42, 0x33, 0x84, 0x44, 15: 0x55}}
)

func TestPolkitAsks(t *testing.T) {
	connection := map[string]string{"connect_driver": "LXC"}
	named := map[string]string{"connect_driver": "LXC", "domain_name": "web", "domain_uuid": "11111111-2222-4233-8444-000000000055"}
	tests := []struct {
		permission access.Permission
		object     ports.AccessObject
		action     string
		details    map[string]string
	}{
		{access.ConnectGetattr, ports.AccessObject{}, "org.libvirt.api.connect.getattr", connection},
		{access.ConnectSearch, ports.AccessObject{}, "org.libvirt.api.connect.search-domains", connection},
		{access.ReadSecure, web, "org.libvirt.api.domain.read-secure", named},
		{access.InitControl, web, "org.libvirt.api.domain.init-control", named},
		{"domain.open_namespace", web, "org.libvirt.api.domain.open-namespace", named},
		{access.Save, ports.AccessObject{Name: "new"}, "org.libvirt.api.domain.save",
			map[string]string{"connect_driver": "LXC", "domain_name": "new"}},
	}
	for _, test := range tests {
		t.Run(string(test.permission), func(t *testing.T) {
			authority := &policy{allowed: map[string]bool{test.action: true}}
			checker := NewPolkit(authority, slog.New(slog.DiscardHandler))
			require.NoError(t, checker.Check(context.Background(), bob, test.permission, test.object))
			assert.Equal(t, []string{test.action}, authority.asked)
			assert.Equal(t, test.details, authority.details)
			assert.Equal(t, bob, authority.caller)

			authority.allowed = nil
			err := checker.Check(context.Background(), bob, test.permission, test.object)
			assert.Equal(t, fault.Denied("LXC"), err, "answers are not kept")
			assert.EqualError(t, err, "'LXC' denied access")
		})
	}
}

// TestRootIsNotAskedAbout: not even a daemon that is away matters.
func TestRootIsNotAskedAbout(t *testing.T) {
	authority := &policy{fail: errors.New("away")}
	checker := NewPolkit(authority, slog.New(slog.DiscardHandler))
	require.NoError(t, checker.Check(context.Background(), access.Caller{PID: 1}, access.Start, web))
	assert.Empty(t, authority.asked)
}

// TestEndlessNames are not passed on.
func TestEndlessNames(t *testing.T) {
	authority := &policy{allowed: map[string]bool{"org.libvirt.api.domain.save": true}}
	checker := NewPolkit(authority, slog.New(slog.DiscardHandler))
	check := func(length int) error {
		return checker.Check(context.Background(), bob, access.Save, ports.AccessObject{Name: strings.Repeat("x", length)})
	}
	require.NoError(t, check(maxName))
	require.ErrorIs(t, check(maxName+1), fault.AccessDenied)
	assert.Len(t, authority.asked, 1)
}

func TestPolkitFailuresDeny(t *testing.T) { synctest.Test(t, testFailures) }

func testFailures(t *testing.T) {
	var lines bytes.Buffer
	authority := &policy{allowed: map[string]bool{"org.libvirt.api.domain.start": true}}
	checker := NewPolkit(authority, slog.New(slog.NewTextHandler(&lines, nil)))
	check := func(ctx context.Context) error { return checker.Check(ctx, bob, access.Start, web) }
	logged := func() int {
		defer lines.Reset()
		return strings.Count(lines.String(), "\n")
	}
	require.NoError(t, check(context.Background()))
	assert.Zero(t, logged())

	authority.fail = errors.New("polkit is away")
	require.ErrorIs(t, check(context.Background()), fault.AccessDenied, "even if it also said yes")
	assert.Contains(t, lines.String(), "polkit is away")
	assert.Equal(t, 1, logged())
	for range 100 {
		require.ErrorIs(t, check(context.Background()), fault.AccessDenied)
	}
	assert.Zero(t, logged(), "said once")

	authority.fail = nil
	require.NoError(t, check(context.Background()))
	assert.Equal(t, 1, logged(), "it is over")
	for range 100 { // a caller plays tricks
		authority.fail = errors.New("process has been replaced")
		require.ErrorIs(t, check(context.Background()), fault.AccessDenied)
		authority.fail = nil
		require.NoError(t, check(context.Background()))
	}
	assert.Zero(t, logged())
	time.Sleep(pause)
	authority.fail = errors.New("polkit is away")
	require.ErrorIs(t, check(context.Background()), fault.AccessDenied)
	assert.Equal(t, 1, logged())

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	time.Sleep(pause)
	authority.fail = context.Canceled
	require.ErrorIs(t, check(ended), fault.AccessDenied)
	assert.Zero(t, logged(), "a client that has gone says nothing about the authority")
}
