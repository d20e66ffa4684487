package remote

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/ports"
)

// TestOnlyWhatNeverWaitsIsInline: where access checks ask somebody, nothing that
// needs a right on a container, or more of the connection than opening it did, may
// run in the session's reader.
func TestOnlyWhatNeverWaitsIsInline(t *testing.T) {
	service := New(&stub{}, printer{}, Options{Log: slog.New(slog.DiscardHandler)})
	served := service.remoteHandlers()
	for _, program := range service.Programs() {
		for _, row := range protocol.Procedures(program.Number) {
			procedure := program.Procedure(row.Number)
			if procedure == nil || !procedure.Inline {
				continue
			}
			if _, ok := served[row.Number]; !ok || program.Number != protocol.Program {
				continue // answered as not supported, without asking anybody
			}
			assert.Contains(t, []string{"", "connect:getattr"}, row.ACL, row.Wire)
			assert.NotEqual(t, int32(protocol.ProcAuthPolkit), row.Number, "it may wait for a person")
			assert.NotEqual(t, int32(protocol.ProcConnectOpen), row.Number, "it asks for its right")
			assert.NotEqual(t, int32(protocol.ProcConnectSetIdentity), row.Number, "it asks for a right")
		}
	}
}

// slowChecks is a driver whose access checks wait until the test lets them go on.
type slowChecks struct {
	stub
	asked  chan struct{}
	answer chan error
}

func (s *slowChecks) Connect(context.Context, access.Caller) (ports.Connection, error) { return s, nil }

func (s *slowChecks) check(ctx context.Context) error {
	s.asked <- struct{}{}
	select {
	case err := <-s.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slowChecks) List(ctx context.Context, _ container.Filter) ([]*container.Snapshot, error) {
	return nil, s.check(ctx)
}

func (s *slowChecks) Lookup(ctx context.Context, _ container.Ref) (*container.Snapshot, error) {
	return nil, s.check(ctx)
}

func (s *slowChecks) NodeFacts(ctx context.Context) (*host.Facts, error) {
	return &host.Facts{}, s.check(ctx)
}

// TestSlowChecksHoldUpNothingElse: the session goes on reading while checks wait.
func TestSlowChecksHoldUpNothingElse(t *testing.T) {
	driver := &slowChecks{asked: make(chan struct{}), answer: make(chan error)}
	p := connectTo(t, &driver.stub, driver, how{})
	p.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)}, nil)
	waiting := map[uint32]bool{}
	for _, call := range []struct {
		procedure int32
		args      protocol.Message
	}{
		{protocol.ProcConnectListAllDomains, &protocol.ConnectListAllDomainsArgs{NeedResults: 1}},
		{protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{Name: "x"}},
		{protocol.ProcNodeGetSecurityModel, nil},
	} {
		p.send(call.procedure, call.args)
		waiting[p.serial] = true
		<-driver.asked
	}
	p.must(protocol.ProcConnectGetURI, nil, nil)
	p.must(protocol.ProcConnectSupportsFeature, &protocol.ConnectSupportsFeatureArgs{Feature: featureKeepalive}, nil)
	for range len(waiting) {
		driver.answer <- fault.Denied("LXC")
		answer := p.receive()
		var failure protocol.Error
		require.NoError(t, failure.DecodeXDR(decoderOf(answer)))
		assert.Equal(t, "access denied: 'LXC' denied access", *failure.Message)
		require.True(t, waiting[answer.Header.Serial])
		delete(waiting, answer.Header.Serial)
	}
}
