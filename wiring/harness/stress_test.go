package harness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
)

const (
	crowd      = 100 // clients
	population = 36  // containers
	rushHour   = 2 * time.Second
)

// TestManyClients lets a crowd do everything at once to a few dozen containers,
// over sockets. Whatever the mixture was, at the end all can be destroyed and
// forgotten, and nothing is left. TestMain looks for goroutines.
func TestManyClients(t *testing.T) {
	m := New(Config{Prefix: shortDir(t)})
	require.NoError(t, m.Start(t.Context()))
	empty := m.Host.String()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var answered, refused atomic.Uint64
	var all sync.WaitGroup
	over := time.Now().Add(rushHour)
	for i := range crowd {
		all.Go(func() {
			p := passer{t: t, ctx: ctx, machine: m, dice: rand.New(rand.NewPCG(1, uint64(i)))}
			p.walk(over)
			answered.Add(p.answered)
			refused.Add(p.refused)
		})
	}
	all.Wait()
	t.Logf("%d calls answered, %d refused", answered.Load(), refused.Load())
	assert.Greater(t, answered.Load(), uint64(crowd))
	tidyUp(t, ctx, m)
	require.NoError(t, m.Stop(ctx))
	assert.Empty(t, m.Host.OpenFiles(), "left open by the daemon")
	assert.Equal(t, empty, m.Host.String())
}

// passer is one client of the crowd.
type passer struct {
	t                 *testing.T
	ctx               context.Context
	machine           *Machine
	conn              *client.Client
	dice              *rand.Rand
	answered, refused uint64
}

// walk makes calls and now and then comes back as another client.
func (p *passer) walk(over time.Time) {
	for time.Now().Before(over) && p.visit(over) {
	}
}

func (p *passer) visit(over time.Time) (ok bool) {
	var err error
	p.conn, err = p.machine.Dial(p.ctx, access.Caller{})
	if !assert.NoError(p.t, err) {
		return false
	}
	var sub protocol.ConnectDomainEventCallbackRegisterAnyRet
	p.call(protocol.ProcConnectDomainEventCallbackRegisterAny, &protocol.ConnectDomainEventCallbackRegisterAnyArgs{}, &sub)
	for range 50 {
		if time.Now().After(over) {
			break
		}
		p.step()
	}
	if p.dice.IntN(4) == 0 { // some just go
		return assert.NoError(p.t, p.conn.Close())
	}
	return assert.NoError(p.t, p.conn.Disconnect(p.ctx))
}

// call counts answers; a refusal is one, a broken connection is a failure.
func (p *passer) call(procedure int32, args, ret protocol.Message) bool {
	err := p.conn.Remote(p.ctx, procedure, args, ret)
	var refusal *client.Error
	switch {
	case err == nil:
		p.answered++
	case errors.As(err, &refusal):
		p.refused++
		// Internal error is what nobody thought of.
		assert.NotEqual(p.t, int32(1), refusal.Code, "procedure %d: %v", procedure, err)
	default:
		assert.NoError(p.t, err, "procedure %d", procedure)
	}
	return err == nil
}

func someone(n int) (name, document string) {
	name = fmt.Sprintf("c%d", n)
	return name, fmt.Sprintf(`<domain type='lxc'><name>%s</name><uuid>00000000-0000-4000-8000-0000000000%02x</uuid>
<memory>65536</memory><os><type>exe</type><init>/sbin/init</init></os><devices>
<interface type='bridge'><source bridge='virbr0'/></interface><console type='pty'/></devices></domain>`, name, n)
}

// step does something to somebody.
func (p *passer) step() {
	name, document := someone(p.dice.IntN(population))
	switch p.dice.IntN(12) {
	case 0:
		p.call(protocol.ProcDomainDefineXML, &protocol.DomainDefineXMLArgs{XML: document}, &protocol.DomainDefineXMLRet{})
		return
	case 1:
		flags := uint32(p.dice.IntN(2) * 2) // autodestroy
		p.call(protocol.ProcDomainCreateXML, &protocol.DomainCreateXMLArgs{XMLDesc: document, Flags: flags}, &protocol.DomainCreateXMLRet{})
		return
	case 2:
		p.call(protocol.ProcConnectListAllDomains, &protocol.ConnectListAllDomainsArgs{NeedResults: 1}, &protocol.ConnectListAllDomainsRet{})
		return
	case 3: // from inside, or from outside the daemon; nobody may be there
		_ = [...]func(string) error{p.machine.Host.RebootInit, p.machine.Host.OOMKill, p.machine.Host.KillController}[p.dice.IntN(3)](name)
		return
	}
	var found protocol.DomainLookupByNameRet
	if p.call(protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{Name: name}, &found) {
		p.touch(found.Dom)
	}
}

// touch does something to a container that was there a moment ago.
func (p *passer) touch(dom protocol.Domain) {
	switch p.dice.IntN(10) {
	case 0, 1:
		p.call(protocol.ProcDomainCreateWithFlags, &protocol.DomainCreateWithFlagsArgs{Dom: dom}, &protocol.DomainCreateWithFlagsRet{})
	case 2:
		p.call(protocol.ProcDomainDestroy, &protocol.DomainDestroyArgs{Dom: dom}, nil)
	case 3:
		p.call(protocol.ProcDomainSuspend, &protocol.DomainSuspendArgs{Dom: dom}, nil)
	case 4:
		p.call(protocol.ProcDomainResume, &protocol.DomainResumeArgs{Dom: dom}, nil)
	case 5:
		p.call(protocol.ProcDomainShutdown, &protocol.DomainShutdownArgs{Dom: dom}, nil)
	case 6:
		p.call(protocol.ProcDomainGetInfo, &protocol.DomainGetInfoArgs{Dom: dom}, &protocol.DomainGetInfoRet{})
	case 7:
		p.call(protocol.ProcDomainUndefineFlags, &protocol.DomainUndefineFlagsArgs{Dom: dom}, nil)
	case 8:
		p.call(protocol.ProcDomainGetXMLDesc, &protocol.DomainGetXMLDescArgs{Dom: dom}, &protocol.DomainGetXMLDescRet{})
	case 9:
		p.typeSomething(dom)
	}
}

// typeSomething opens a console and leaves it, in one of the ways to leave.
func (p *passer) typeSomething(dom protocol.Domain) {
	s, err := p.conn.OpenStream(p.ctx, protocol.Program, protocol.ProcDomainOpenConsole, &protocol.DomainOpenConsoleArgs{Dom: dom}, nil)
	if err != nil {
		p.refused++
		return
	}
	p.answered++
	_ = s.Send([]byte("hello\r")) // the container may be gone
	if p.dice.IntN(2) == 0 {
		_ = s.Abort(p.ctx)
	}
}

// tidyUp destroys and forgets whatever is there.
func tidyUp(t *testing.T, ctx context.Context, m *Machine) {
	c, err := m.Dial(ctx, access.Caller{})
	require.NoError(t, err)
	for {
		var all protocol.ConnectListAllDomainsRet
		require.NoError(t, c.Remote(ctx, protocol.ProcConnectListAllDomains, &protocol.ConnectListAllDomainsArgs{NeedResults: 1}, &all))
		if len(all.Domains) == 0 {
			break
		}
		for _, dom := range all.Domains {
			// One that ends meanwhile, or is restarting, is met again.
			_ = destroyed(c, dom)
			_ = c.Remote(ctx, protocol.ProcDomainUndefineFlags, &protocol.DomainUndefineFlagsArgs{Dom: dom}, nil)
		}
	}
	assert.NoError(t, c.Disconnect(ctx))
}
