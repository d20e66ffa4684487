package controller

import (
	"bytes"
	"fmt"
	"sort"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// world is everything a controller touches, in memory: it counts descriptors,
// so that a leak or a double close shows.
type world struct {
	next    hold.FD
	open    map[hold.FD]string // what each descriptor is
	watched map[hold.FD]hold.Interest
	scripts map[hold.FD]*step.Script

	input    map[hold.FD][]byte // to be read
	output   map[hold.FD]*bytes.Buffer
	full     map[hold.FD]bool // writes do not fit
	hungUp   map[hold.FD]bool
	attached map[hold.FD]bool

	connected bool
	sent      []hold.Message
	wrong     []string // misuse: double close and the like

	failBegin hold.Failure
	alive     map[int]bool
	status    map[int]int
	progress  map[hold.FD][]news
	lastPID   int
	slowToDie bool      // a kill takes effect later
	networks  []hold.FD // given to Begin
	names     []string
}

type news struct {
	progress hold.Progress
	failure  hold.Failure
}

func newWorld() *world {
	return &world{
		next: 10, open: map[hold.FD]string{}, watched: map[hold.FD]hold.Interest{}, scripts: map[hold.FD]*step.Script{},
		input: map[hold.FD][]byte{}, output: map[hold.FD]*bytes.Buffer{}, full: map[hold.FD]bool{},
		hungUp: map[hold.FD]bool{}, attached: map[hold.FD]bool{}, connected: true,
		alive: map[int]bool{}, status: map[int]int{}, progress: map[hold.FD][]news{}, lastPID: 100,
	}
}

func (w *world) fd(what string) hold.FD {
	w.next++
	w.open[w.next] = what
	return w.next
}

// leaks lists what is still open or watched.
func (w *world) leaks() (list []string) {
	for fd, what := range w.open {
		list = append(list, fmt.Sprint(what, " ", fd, " open"))
	}
	for fd := range w.watched {
		list = append(list, fmt.Sprint(fd, " watched"))
	}
	sort.Strings(list)
	return append(list, w.wrong...)
}

// hold.Daemon

func (w *world) Send(m *hold.Message) bool {
	if !w.connected {
		return false
	}
	sent := *m
	sent.Files.Each(func(fd hold.FD) {
		if w.open[fd] == "" {
			w.wrong = append(w.wrong, fmt.Sprint("sent closed descriptor ", fd))
		}
	})
	w.sent = append(w.sent, sent)
	return true
}

func (w *world) lastSent() hold.Message {
	if len(w.sent) == 0 {
		return hold.Message{}
	}
	return w.sent[len(w.sent)-1]
}

// hold.Kernel

func (w *world) Begin(script *step.Script, _ *hold.Files, network hold.FD) (hold.Born, hold.Failure) {
	w.networks = append(w.networks, network)
	if w.failBegin.Failed() {
		return hold.Born{}, w.failBegin
	}
	w.lastPID++
	w.alive[w.lastPID] = true
	born := hold.Born{
		PID: w.lastPID, Start: uint64(w.lastPID) * 10, Process: w.fd("pidfd"), Network: hold.None,
		Release: w.fd("release"), Outcome: w.fd("outcome"),
	}
	if script.Namespaces.Net {
		born.Network = w.fd("network")
	}
	for range script.Terminals {
		born.Terminals = append(born.Terminals, w.fd("guest terminal"))
	}
	return born, hold.Failure{}
}

func (w *world) Release(fd hold.FD) { w.Close(fd) }

func (w *world) Outcome(fd hold.FD) (hold.Progress, hold.Failure) {
	queue := w.progress[fd]
	if len(queue) == 0 {
		return hold.NoNews, hold.Failure{}
	}
	w.progress[fd] = queue[1:]
	return queue[0].progress, queue[0].failure
}

func (w *world) Reap(pid int, _ hold.FD) (int, bool) { return w.status[pid], !w.alive[pid] }

func (w *world) Kill(process hold.FD) {
	if w.open[process] != "pidfd" {
		w.wrong = append(w.wrong, fmt.Sprint("killed through ", process))
	}
	w.status[w.lastPID] = 9
	w.alive[w.lastPID] = w.slowToDie
}

func (w *world) Introduce(name string) { w.names = append(w.names, name) }

// hold.Descriptors

func (w *world) Read(fd hold.FD, into []byte) (int, bool) {
	n := copy(into, w.input[fd])
	w.input[fd] = w.input[fd][n:]
	return n, n == 0 && !w.hungUp[fd]
}

func (w *world) Write(fd hold.FD, from []byte) (int, bool) {
	if w.full[fd] {
		return 0, true
	}
	if w.output[fd] == nil {
		w.output[fd] = &bytes.Buffer{}
	}
	n, _ := w.output[fd].Write(from)
	return n, false
}

func (w *world) Watch(fd hold.FD, want hold.Interest) { w.watched[fd] = want }
func (w *world) WatchOpens(hold.FD)                   {}
func (w *world) Attached(fd hold.FD) bool             { return w.attached[fd] }
func (w *world) Forget(fd hold.FD)                    { delete(w.watched, fd) }

func (w *world) Close(fd hold.FD) {
	if fd == hold.None {
		return
	}
	if _, open := w.open[fd]; !open {
		w.wrong = append(w.wrong, fmt.Sprint("closed twice: ", fd))
	}
	delete(w.open, fd)
}

func (w *world) Load(plan hold.FD) (*step.Script, bool) {
	script, ok := w.scripts[plan]
	return script, ok
}
