package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

// figures are what was measured. Times in milliseconds, rates in calls a second. 0: not
// measured.
// One is filled for each daemon, part by part.
type figures struct {
	create, createLinked   float64 // from the call to its answer, when init runs
	destroy, destroyKilled float64 // of an init that ends when asked to, and of one that does not
	event                  float64 // from the signal that ends init to the client's event
	info, info64, list     float64 // over one connection, over 64, over one
	memory                 float64 // KiB PSS of one controller of eleven
}

// rounds is how often a time is taken; the median counts. Odd, so that there is one; enough
// for a first slow start and a busy moment of the host not to show.
const rounds = 31

// benchmark is one connection to one subject. Containers are created one after the other,
// so a time that is taken is of nothing else.
// What it measures runs in the namespaces of sandbox.go.
type benchmark struct {
	*subject
	ctx     context.Context // ends what hangs
	client  *client.Client
	root    string         // of containers, with busybox in it
	stopped chan time.Time // when stop events came; nobody waits to put one in
}

// figuresOf runs a daemon and measures it. The first part that fails ends it; the figures
// until then come with the error.
// Five minutes are for a daemon that hangs; a good run takes a fraction of that.
// The order of the parts matters: events are asked for late, and a thousand
// definitions, which make every list longer, come last.
func figuresOf(s *subject, dir string) (f figures, err error) {
	if err := s.start(); err != nil {
		return f, err
	}
	defer s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	b := &benchmark{subject: s, ctx: ctx, root: filepath.Join(dir, "root"), stopped: make(chan time.Time, 64)}
	if b.client, err = client.Dial(s.socket, client.OnEvent(b.heard)); err != nil {
		return f, err
	}
	defer b.client.Close()
	if err := b.client.Open(ctx, "lxc:///system", 0); err != nil {
		return f, err
	}
	for _, part := range []func(*figures) error{b.lives, b.linkedLives, b.killedLives, b.exits, b.holding, b.lists} {
		if err := part(&f); err != nil {
			return f, err
		}
	}
	return f, nil
}

// heard takes the time of stop events (lifecycle, kind 5) as soon as the client has them:
// before they are decoded.
// It runs in the client's reader. The channel has room for more than are ever sent
// between two readings, so it never waits. Time is taken first, since decoding is not
// the daemon's work.
func (b *benchmark) heard(e client.Event) {
	now := time.Now()
	var event protocol.DomainEventCallbackLifecycleMsg
	if e.Procedure == protocol.ProcDomainEventCallbackLifecycle && event.DecodeXDR(xdr.NewDecoder(e.Payload)) == nil && event.Msg.Event == 5 {
		b.stopped <- now
	}
}

// Parts of documents. The first init is the usual case: asked to end, it does. A shell
// that waits for a child runs its trap at once. The second makes the daemon wait as long
// as it waits for any, and then kill.
const (
	exitsOnTerm = `<init>/bin/sh</init><initarg>-c</initarg><initarg>trap 'exit 0' TERM; sleep 1000 &amp; wait</initarg>`
	ignoresTerm = `<init>/bin/sleep</init><initarg>1000</initarg>`
	privnet     = `<features><privnet/></features>`
	linked      = `<interface type='bridge'><source bridge='` + bridge + `'/></interface>`
)

// document is a container as small as one can be that is of use: a root, one console,
// and what is measured beside.
// It has neither uuid nor addresses, so each daemon draws its own.
func (b *benchmark) document(name, init, features, link string) string {
	return fmt.Sprintf(`<domain type='lxc'><name>%s</name><memory unit='MiB'>64</memory><os><type>exe</type>%s</os>%s<devices>`+
		`<filesystem type='mount'><source dir='%s'/><target dir='/'/></filesystem>%s<console type='pty'/></devices></domain>`,
		name, init, features, b.root, link)
}

// create returns how long the call took. The answer comes when init runs.
// The time includes the way over the socket and the encoding, which is the same for
// both daemons. A refusal by the daemon is an error.
func (b *benchmark) create(name, init, features, link string) (protocol.Domain, time.Duration, error) {
	var ret protocol.DomainCreateXMLRet
	args := protocol.DomainCreateXMLArgs{XMLDesc: b.document(name, init, features, link)}
	start := time.Now()
	err := b.client.Remote(b.ctx, protocol.ProcDomainCreateXML, &args, &ret)
	return ret.Dom, time.Since(start), err
}

// end destroys a container and returns how long the call took.
// The answer comes when init is gone, so waiting for it counts.
func (b *benchmark) end(dom protocol.Domain) (time.Duration, error) {
	start := time.Now()
	err := b.client.Remote(b.ctx, protocol.ProcDomainDestroy, &protocol.DomainDestroyArgs{Dom: dom}, nil)
	return time.Since(start), err
}

// cycle creates and destroys a container n times and returns the medians.
// One at a time: what is measured is how long one client waits, not how many
// containers a host can start at once. The first error ends it.
func (b *benchmark) cycle(n int, init, features, link string) (create, destroy float64, err error) {
	var created, destroyed []time.Duration
	for range n {
		dom, took, err := b.create("vlxbench", init, features, link)
		if err != nil {
			return 0, 0, err
		}
		created = append(created, took)
		// Init must have come to its trap: a shell that has not yet dies of the signal, and
		// nothing inside tells when. It is no part of a time that is taken.
		time.Sleep(30 * time.Millisecond)
		if took, err = b.end(dom); err != nil {
			return 0, 0, err
		}
		destroyed = append(destroyed, took)
	}
	return median(created), median(destroyed), nil
}

// median is in milliseconds. It sorts times.
// A mean would be moved by the one start that a busy host delayed.
func median(times []time.Duration) float64 {
	slices.SortFunc(times, cmp.Compare)
	return float64(times[len(times)/2].Microseconds()) / 1000
}

// lives have a network namespace with nothing but lo.
// Both figures come from one cycle: every container that is created is destroyed.
func (b *benchmark) lives(f *figures) (err error) {
	f.create, f.destroy, err = b.cycle(rounds, exitsOnTerm, privnet, "")
	return err
}

// linkedLives have a pair of links, one end at the bridge, as most containers have.
// Their ends are those of lives and are not shown again.
func (b *benchmark) linkedLives(f *figures) (err error) {
	f.createLinked, _, err = b.cycle(rounds, exitsOnTerm, "", linked)
	return err
}

// killedLives: fewer rounds, since the original takes seconds for each.
// Five are enough where the grace time is most of what is measured.
func (b *benchmark) killedLives(f *figures) (err error) {
	_, f.destroyKilled, err = b.cycle(5, ignoresTerm, privnet, "")
	return err
}

// exits measures from the signal that ends init to the event: that is how long a program
// that watches containers knows nothing. Events are asked for here and not before, so that
// they cost nothing elsewhere; the first ones asked for are those of lifecycles.
func (b *benchmark) exits(f *figures) error {
	var ret protocol.ConnectDomainEventCallbackRegisterAnyRet
	if err := b.client.Remote(b.ctx, protocol.ProcConnectDomainEventCallbackRegisterAny, &protocol.ConnectDomainEventCallbackRegisterAnyArgs{}, &ret); err != nil {
		return err
	}
	var times []time.Duration
	for range rounds {
		took, err := b.exit()
		if err != nil {
			return err
		}
		times = append(times, took)
	}
	f.event = median(times)
	return nil
}

// exit takes one such time. The original sometimes never learns the pid of an
// init; such a container is given up, with the event of its end taken out of the way.
// A container whose signal came through has ended by itself, so nothing is destroyed.
func (b *benchmark) exit() (time.Duration, error) {
	for range 10 {
		dom, _, err := b.create("vlxbench", exitsOnTerm, privnet, "")
		if err != nil {
			return 0, err
		}
		start, err := b.signal(dom)
		if err != nil {
			b.end(dom)
			<-b.stopped
			continue
		}
		select {
		case at := <-b.stopped:
			return at.Sub(start), nil
		case <-time.After(10 * time.Second):
			return 0, fmt.Errorf("no event came")
		}
	}
	return 0, fmt.Errorf("init cannot be signalled")
}

// signal ends init and returns when it was asked to. The original learns init's
// pid some time after it reported the start, so the first tries may fail.
// SIGTERM, which the trap of exitsOnTerm turns into an end; 30 tries take about a second.
func (b *benchmark) signal(dom protocol.Domain) (start time.Time, err error) {
	args := protocol.DomainSendProcessSignalArgs{Dom: dom, PidValue: 1, Signum: 15}
	for range 30 {
		time.Sleep(30 * time.Millisecond)
		start = time.Now()
		if err = b.client.Remote(b.ctx, protocol.ProcDomainSendProcessSignal, &args, nil); err == nil {
			return start, nil
		}
	}
	return start, err
}

// holding measures what is asked of, and costs, eleven running containers: enough for what
// controllers share (their program's pages) to be counted once.
// The calls ask for one of them again and again: what is looked at is the way through
// the server, which must not wait for anything the container does.
func (b *benchmark) holding(f *figures) error {
	var running []protocol.Domain
	for i := range 11 {
		dom, _, err := b.create(fmt.Sprint("vlxbench", i), ignoresTerm, privnet, "")
		if err != nil {
			return err
		}
		running = append(running, dom)
	}
	// Shared pages count by how many share them, so what all controllers have in common is
	// divided among them.
	for _, pid := range b.controllers() {
		f.memory += memory(pid) / float64(len(running))
	}
	call := request(protocol.ProcDomainGetInfo, &protocol.DomainGetInfoArgs{Dom: running[0]})
	var err error
	if f.info, err = b.hammer(call, 1, time.Second); err != nil {
		return err
	}
	if f.info64, err = b.hammer(call, 64, time.Second); err != nil {
		return err
	}
	for _, dom := range running {
		if _, err := b.end(dom); err != nil {
			return err
		}
	}
	return nil
}

// lists measures the list of a thousand stored definitions, running or not (flags 3). It
// comes last: they are left behind.
// Names sort as they count, and none of the definitions is ever started.
func (b *benchmark) lists(f *figures) (err error) {
	for i := range 1000 {
		args := protocol.DomainDefineXMLArgs{XML: b.document(fmt.Sprintf("vlxlist%04d", i), ignoresTerm, privnet, "")}
		if err := b.client.Remote(b.ctx, protocol.ProcDomainDefineXML, &args, &protocol.DomainDefineXMLRet{}); err != nil {
			return err
		}
	}
	args := protocol.ConnectListAllDomainsArgs{NeedResults: 1, Flags: 3}
	f.list, err = b.hammer(request(protocol.ProcConnectListAllDomains, &args), 1, time.Second)
	return err
}
