package bus

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"virtlxcd/domain/fault"
)

// installLimit bounds telling the bus what is watched.
const installLimit = 10 * time.Second

// queued is how many signals wait for a subscriber before some are dropped.
const queued = 128

// Event says what a Signal is.
// After Connected and Disconnected a subscriber has to ask for the present state, or
// forget it: signals are news, and some may be missing.
type Event uint8

// The events.
const (
	Received     Event = iota // a signal of somebody
	Connected                 // from now on signals arrive; any number may have been missed before
	Disconnected              // there is no bus, or not any more
)

// Signal is what a watch gives. The fields after Event are of those Received.
// Body is shared by all watches that the signal fits: read it only.
type Signal struct {
	Event  Event
	Path   string
	Name   string // with its interface
	Sender string // the unique name
	Body   []any
}

// Match selects signals. Empty fields match everything.
// The fields are the keys of a match rule, see "Match Rules" in the D-Bus specification.
type Match struct {
	// Sender is a well-known name. Only its owner's signals are given: everybody
	// may send signals to everybody.
	Sender    string
	Path      string
	Interface string
	Member    string
	Arg0      string
}

// Owner selects the changes of who owns a name. The signals' arguments are the
// name, the old and the new owner, empty if there is none.
func Owner(name string) Match {
	return Match{Sender: Self, Path: SelfPath, Interface: Self, Member: "NameOwnerChanged", Arg0: name}
}

// watch is one subscription.
// The channel is closed under mu, and sent to under mu: that is why closed is looked at
// in push.
type watch struct {
	match Match
	out   chan Signal

	mu      sync.Mutex
	session *session // that the rules are, or are being, made known to
	ruled   bool     // they are
	owner   string   // of match.Sender
	known   bool     // owner is newer than any answer under way
	told    bool     // that there is no bus
	closed  bool
}

// Watch gives the signals that match until the function is called, over any
// number of connections. The first one tells whether there is a bus, at once or
// when that is known. A subscriber that does not keep up loses signals and is
// told so by Connected. The channel is closed in the end.
// Calling the function twice is fine. Signals of one connection come in their order; the
// channel holds 128.
func (b *Bus) Watch(match Match) (<-chan Signal, func()) {
	w := &watch{match: match, out: make(chan Signal, queued)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		w.close()
		return w.out, func() {}
	}
	b.watches[w] = struct{}{}
	if !b.keeping {
		b.keeping = true
		b.wg.Go(b.keep)
	}
	if s := b.session; s != nil {
		b.wg.Go(func() { b.install(s, w) })
	} else if b.failure != nil {
		w.lost(b.attempts)
	}
	return w.out, func() { b.unwatch(w) }
}

// Its rules are taken off the bus in a goroutine, as nobody waits for that. A rule that
// several watches have made known is counted by the bus, and goes with the last one.
func (b *Bus) unwatch(w *watch) {
	b.mu.Lock()
	delete(b.watches, w)
	closed := b.closed
	b.mu.Unlock()
	s := w.close()
	if s == nil || closed {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.wg.Go(func() { b.forget(s, w.match) })
	}
}

// current lists the watches. The lock is held.
func (b *Bus) current() []*watch {
	list := make([]*watch, 0, len(b.watches))
	for w := range b.watches {
		list = append(list, w)
	}
	return list
}

// install makes a watch's rules known on a new connection.
// Rules come before the question for the owner: a change in between is then heard, and
// counts for more than the answer (watch.known).
func (b *Bus) install(s *session, w *watch) {
	ctx, cancel := context.WithTimeout(b.ctx, installLimit)
	defer cancel()
	w.begin(s)
	for _, rule := range w.match.rules() {
		if _, err := s.call(ctx, Self, SelfPath, Self+".AddMatch", rule); err != nil {
			b.installFailed(s, err)
			return
		}
	}
	if w.match.named() {
		body, err := s.call(ctx, Self, SelfPath, Self+".GetNameOwner", w.match.Sender)
		if err != nil && ErrorName(err) != Self+".Error.NameHasNoOwner" {
			b.installFailed(s, err)
			return
		}
		owner, ok := "", err != nil
		if len(body) == 1 {
			owner, ok = body[0].(string)
		}
		if !ok {
			b.installFailed(s, fault.New(fault.System, fault.Host, "malformed answer to who owns '%s'", w.match.Sender))
			return
		}
		w.setOwner(s, owner)
	}
	if w.ready(s) {
		return
	}
	b.forget(s, w.match) // it was closed meanwhile
}

// installFailed gives a connection up that is of no use: the next one is tried.
func (b *Bus) installFailed(s *session, err error) {
	b.mu.Lock()
	alive := b.session == s
	b.mu.Unlock()
	if alive {
		b.log.Warn("the system bus refuses to be watched", "error", err)
		_ = s.conn.Close()
	}
}

// forget is tried once: a rule that stays costs the bus a comparison, no more, and goes
// with the connection.
func (b *Bus) forget(s *session, match Match) {
	ctx, cancel := context.WithTimeout(b.ctx, installLimit)
	defer cancel()
	for _, rule := range match.rules() {
		if _, err := s.call(ctx, Self, SelfPath, Self+".RemoveMatch", rule); err != nil {
			b.log.Debug("a rule stays on the bus", "rule", rule, "error", err)
			return
		}
	}
}

// begin makes the watch take signals of this connection.
func (w *watch) begin(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session, w.ruled, w.owner, w.known = s, false, "", false
}

// setOwner takes the answer to who owns the sender's name, unless a change was heard.
func (w *watch) setOwner(s *session, owner string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == s && !w.known {
		w.owner = owner
	}
}

// ready tells the subscriber, and says whether there still is one.
func (w *watch) ready(s *session) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == s && !w.closed {
		w.ruled, w.told = true, false
		w.push(Signal{Event: Connected})
	}
	return !w.closed
}

// lost reports that there is no bus, once. Whoever says so does it without locks, so
// the next connection may be there before: age tells the older news from the newer.
func (w *watch) lost(age uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told || w.session != nil && w.session.age > age {
		return
	}
	w.told = true
	w.push(Signal{Event: Disconnected})
}

// close ends the watch and returns the connection that knows its rules, if any.
func (w *watch) close() *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	close(w.out)
	if w.ruled {
		return w.session
	}
	return nil
}

// offer takes a signal that the connection brought if it is for this watch.
// A change of the sender's owner is noted even if the match does not select it.
func (w *watch) offer(s *session, signal *dbus.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != s || w.closed {
		return
	}
	if w.match.named() && Owner(w.match.Sender).fits(signal) && signal.Sender == Self && len(signal.Body) == 3 {
		w.owner, _ = signal.Body[2].(string)
		w.known = true
	}
	if w.match.fits(signal) && w.sentBy(signal.Sender) {
		w.push(Signal{Path: string(signal.Path), Name: signal.Name, Sender: signal.Sender, Body: signal.Body})
	}
}

// sentBy compares unique names: the bus vouches for those, a name in a signal is anybody's.
func (w *watch) sentBy(sender string) bool {
	if w.match.named() {
		return w.owner != "" && sender == w.owner
	}
	return w.match.Sender == "" || w.match.Sender == sender
}

// push never blocks: when the subscriber is too far behind, the signal is
// dropped with the oldest one, whose place tells that some are missing.
func (w *watch) push(signal Signal) {
	if w.closed {
		return
	}
	for {
		select {
		case w.out <- signal:
			return
		default:
		}
		select {
		case <-w.out:
		default:
		}
		if signal.Event == Received {
			signal = Signal{Event: Connected}
		}
	}
}

// named: the sender is a name that changes hands.
func (m Match) named() bool {
	return m.Sender != "" && m.Sender != Self && !strings.HasPrefix(m.Sender, ":")
}

// rules are what the bus has to know: the match itself and, where senders are
// told apart by name, who has that name.
// Values are quoted with ' and a ' inside is written '\” (the quote ends, an escaped one
// follows, it begins anew). Two examples:
//
// type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.example'
// type='signal',sender='org.example',path='/a'
func (m Match) rules() []string {
	var rule strings.Builder
	rule.WriteString("type='signal'")
	for _, part := range [][2]string{
		{"sender", m.Sender}, {"path", m.Path}, {"interface", m.Interface}, {"member", m.Member}, {"arg0", m.Arg0},
	} {
		if part[1] != "" {
			rule.WriteString("," + part[0] + "='" + strings.ReplaceAll(part[1], "'", `'\''`) + "'")
		}
	}
	if m.named() {
		return append(Owner(m.Sender).rules(), rule.String())
	}
	return []string{rule.String()}
}

// fits compares everything but the sender.
func (m Match) fits(signal *dbus.Signal) bool {
	dot := strings.LastIndexByte(signal.Name, '.')
	if dot < 0 || m.Path != "" && m.Path != string(signal.Path) ||
		m.Interface != "" && m.Interface != signal.Name[:dot] || m.Member != "" && m.Member != signal.Name[dot+1:] {
		return false
	}
	if m.Arg0 == "" {
		return true
	}
	if len(signal.Body) == 0 {
		return false
	}
	first, ok := signal.Body[0].(string)
	return ok && first == m.Arg0
}
