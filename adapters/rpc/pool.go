package rpc

import "sync"

// Workers says how many calls may be served at once and what the pool is doing.
// Only ordinary calls need a worker; calls of procedures marked High start at once,
// whatever Prio says: Prio is kept for clients that ask for it.
type Workers struct {
	Min, Max, Prio uint
	Now            uint // workers there are: at least Min, grown up to Max by need
	Free           uint // of these, without work
	Queued         uint // calls waiting for a worker
}

// task is one call waiting for a worker. run is started in a goroutine of its own
// and must call pool.done exactly once.
type task interface{ run() }

// pool bounds how many ordinary calls of all sessions are served at once. It holds
// no idle goroutines: a worker is a permission to run, handed on in order of arrival.
type pool struct {
	mu      sync.Mutex
	limits  Workers
	running uint
	peak    uint
	queue   fifo[task]
}

// newPool: low only shows in Workers, as there are no idle workers to keep.
func newPool(low, high, prio uint) *pool {
	p := &pool{}
	p.resize(low, high, prio)
	return p
}

// submit starts the task or queues it. It never blocks.
func (p *pool) submit(t task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running >= p.limits.Max {
		p.queue.push(t)
		return
	}
	p.start(t)
}

// start runs a task on a worker. mu is held.
func (p *pool) start(t task) {
	p.running++
	p.peak = max(p.peak, p.running)
	go t.run()
}

// done gives a worker back.
func (p *pool) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	p.fill()
}

// fill hands free workers to those who wait longest. mu is held.
func (p *pool) fill() {
	for p.running < p.limits.Max && p.queue.len() > 0 {
		p.start(p.queue.pop())
	}
}

// withdraw removes and returns the queued tasks for which mine is true.
func (p *pool) withdraw(mine func(task) bool) []task {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.remove(mine)
}

// resize changes the bounds; running calls above a lowered maximum finish.
func (p *pool) resize(low, high, prio uint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	high = max(high, 1)
	p.limits = Workers{Min: low, Max: high, Prio: prio}
	p.peak = min(p.peak, high)
	p.fill()
}

// A worker that was needed once counts as there from then on, until resize: that is what
// administrators know of pools whose threads do not end.
func (p *pool) workers() Workers {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.limits
	w.Now = max(w.Min, p.peak, p.running)
	w.Free = w.Now - p.running
	w.Queued = uint(p.queue.len())
	return w
}
