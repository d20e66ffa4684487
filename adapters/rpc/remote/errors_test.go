package remote

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

func TestEveryKindHasItsCode(t *testing.T) {
	tests := []struct {
		kind         fault.Kind
		code         int
		alone, front string
	}{
		{fault.Internal, 1, "internal error", "internal error: "},
		{fault.NotImplemented, 3, "this function is not supported by the connection driver", "this function is not supported by the connection driver: "},
		{fault.InvalidArgument, 8, "invalid argument", "invalid argument: "},
		{fault.Failed, 9, "operation failed", "operation failed: "},
		{fault.BadDefinition, 27, "XML description is invalid or not well formed", "XML error: "},
		{fault.Malformed, 35, "parser error", ""},
		{fault.NoName, 21, "missing name information", "missing name information in "},
		{fault.NoSource, 19, "missing source information for device", "missing source information for device "},
		{fault.NoTarget, 20, "missing target information for device", "missing target information for device "},
		{fault.NoOSType, 22, "missing operating system information", "missing operating system information for "},
		{fault.ReadOnly, 29, "operation forbidden for read only access", "operation forbidden: "},
		{fault.System, 38, "system call error", ""},
		{fault.NotFound, 42, "Domain not found", "Domain not found: "},
		{fault.NoNetwork, 43, "Network not found", "Network not found: "},
		{fault.AuthFailed, 45, "authentication failed", "authentication failed: "},
		{fault.WrongState, 55, "Requested operation is not valid", "Requested operation is not valid: "},
		{fault.UnsupportedConfig, 67, "unsupported configuration", "unsupported configuration: "},
		{fault.Timeout, 68, "Timed out during operation", "Timed out during operation: "},
		{fault.HookFailed, 70, "Hook script execution failed", "Hook script execution failed: "},
		{fault.UnsupportedArgument, 74, "argument unsupported", "argument unsupported: "},
		{fault.Aborted, 78, "operation aborted", "operation aborted: "},
		{fault.MetadataMissing, 80, "metadata not found", "metadata not found: "},
		{fault.Overflow, 82, "numerical overflow", "numerical overflow: "},
		{fault.UnsupportedOperation, 84, "Operation not supported", "Operation not supported: "},
		{fault.Busy, 87, "resource busy", "resource busy: "},
		{fault.AccessDenied, 88, "access denied", "access denied: "},
		{fault.DeviceMissing, 99, "device not found", "device not found: "},
		{fault.AuthCancelled, 79, "authentication cancelled", "authentication cancelled: "},
		{fault.AuthUnavailable, 94, "authentication unavailable", "authentication unavailable: "},
	}
	require.Len(t, tests, len(meanings), "a kind has no row here")
	for _, test := range tests {
		t.Run(test.kind.Error(), func(t *testing.T) {
			bare := complaintOf(&fault.Error{Kind: test.kind})
			assert.EqualValues(t, test.code, bare.code)
			assert.Equal(t, test.alone, bare.message)
			assert.Equal(t, test.alone, *bare.str1)
			assert.Nil(t, bare.str2)

			full := complaintOf(fmt.Errorf("start: %w", fault.New(test.kind, fault.API, "the %s", "detail")))
			assert.EqualValues(t, test.code, full.code)
			assert.Equal(t, fromAPI, full.origin)
			assert.Equal(t, test.front+"the detail", full.message)
			assert.Equal(t, "the detail", *full.str2)
			template := test.front + "%1$s"
			if test.front == "" {
				template = "%s"
			}
			assert.Equal(t, template, *full.str1)
			assert.Equal(t, []int32{-1, -1}, []int32{full.int1, full.int2})
		})
	}
}

func TestEveryAreaHasItsOrigin(t *testing.T) {
	tests := map[fault.Area]int{
		fault.Driver: 17, fault.API: 20, fault.Document: 5, fault.Wire: 7, fault.Host: 0, fault.Network: 19,
		fault.Console: 38, fault.ControlGroup: 54, fault.Security: 24, fault.Access: 55, fault.Capability: 44, fault.Hook: 34,
	}
	require.Len(t, tests, len(origins), "an area has no row here")
	for area, number := range tests {
		assert.EqualValues(t, number, complaintOf(fault.New(fault.Failed, area, "x")).origin)
	}
}

func TestSystemErrorsKeepErrno(t *testing.T) {
	tests := []struct {
		name    string
		err     error
		message string
		errno   int32
	}{
		{"errno alone", fault.Wrap(syscall.ENOENT, fault.System, "Unable to access %s", "/p"), "Unable to access /p: No such file or directory", 2},
		{"path error", fault.Wrap(&os.PathError{Op: "open", Path: "/p", Err: syscall.EACCES}, fault.System, "cannot save"), "cannot save: open /p: Permission denied", 13},
		{"no text", &fault.Error{Kind: fault.System, Err: syscall.ESRCH}, "No such process", 3},
		{"already upper case", fault.Wrap(syscall.EDOTDOT, fault.System, "x"), "x: RFS specific error", 73},
		{"wrapped above", fault.During(fmt.Errorf("saving: %w", fault.Wrap(syscall.ENOSPC, fault.System, "x")), "define", "c"), "saving: x: No space left on device", 28},
		{"no errno", fault.New(fault.System, fault.Driver, "gone"), "gone", -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := complaintOf(test.err)
			assert.Equal(t, codeSystem, c.code)
			assert.Equal(t, test.message, c.message)
			assert.Equal(t, "%s", *c.str1)
			assert.Equal(t, test.message, *c.str2)
			assert.Equal(t, test.errno, c.int1)
			assert.EqualValues(t, -1, c.int2)
		})
	}
}

func TestUnknownErrorsAreInternal(t *testing.T) {
	c := complaintOf(errors.New("boom"))
	assert.Equal(t, codeInternal, c.code)
	assert.Equal(t, fromNone, c.origin)
	assert.Equal(t, "internal error: boom", c.message)

	c = complaintOf(fault.During(errors.New("boom"), "start", "web"))
	assert.Equal(t, codeInternal, c.code)
	assert.Equal(t, "internal error: boom", c.message)

	c = complaintOf(&fault.Error{Kind: 200, Area: 200, Text: "odd"})
	assert.Equal(t, codeInternal, c.code)
	assert.Equal(t, "internal error: odd", c.message)
}

func TestLongTextsAreCut(t *testing.T) {
	name := strings.Repeat("ä", stringMax/2)
	c := complaintOf(fault.NoSuchName(name))
	assert.LessOrEqual(t, len(c.message), stringMax)
	assert.LessOrEqual(t, len(*c.str2), stringMax)
	assert.True(t, strings.HasPrefix(c.message, "Domain not found: No domain with matching name 'ä"))
	assert.True(t, strings.HasSuffix(c.message, "ä"), "a character was split")
}

func TestChecksOfTheInterface(t *testing.T) {
	c := unknownFlags("lxcDomainUndefineFlags", 0x1f)
	assert.Equal(t, complaint{
		code: 8, origin: 17, message: "unsupported flags (0x1f) in function lxcDomainUndefineFlags",
		str1: new("lxcDomainUndefineFlags"), str2: new("flags"),
	}, *c)

	c = exclusiveFlags("virDomainGetMetadata", "VIR_DOMAIN_AFFECT_LIVE", "VIR_DOMAIN_AFFECT_CONFIG")
	assert.Equal(t, "Flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive", c.message)
	assert.Equal(t, "ctl", *c.str2)
	assert.Equal(t, fromAPI, c.origin)

	c = badArgument("virDomainSetMetadata", "uri", "must not be NULL")
	assert.Equal(t, "uri in virDomainSetMetadata must not be NULL", c.message)

	c = noSupport(35, "virDomainSnapshotNum")
	assert.Equal(t, "this function is not supported by the connection driver: virDomainSnapshotNum", c.message)
	assert.Equal(t, "virDomainSnapshotNum", *c.str2)
	assert.EqualValues(t, 35, c.origin)

	c = noCause()
	assert.Nil(t, c.str1)
	assert.Equal(t, []int32{0, 0}, []int32{c.int1, c.int2})
}
