package driver

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// The times are those of a look-up in memory and of a question to another
// process, which differ by so much that a bound between them need not be exact.
const (
	// askTogether is how many containers of one list are asked about at a time
	// where the answers come from somebody else.
	askTogether = 8
	// quickAnswer is what a right takes at most that is known without asking.
	quickAnswer = 100 * time.Microsecond
	// longestStride bounds how many quick answers pass between looks at the clock.
	longestStride = 64
)

// sight finds out which containers of a list a caller may see. askTogether
// writes hidden from several goroutines, each its own places.
type sight struct {
	client *connection
	all    []*container.Snapshot
	hidden []bool // by place in all; nil: none so far
}

// visible returns those of all, in their order, that the caller may see: all
// itself if it may see every one. Aborted if ctx ends before that is known. A
// part of the list would be taken for the whole.
func (c *connection) visible(ctx context.Context, all []*container.Snapshot) ([]*container.Snapshot, error) {
	s := &sight{client: c, all: all}
	if rest := s.askInTurn(ctx); rest < len(all) {
		s.askTogether(ctx, rest)
	}
	if ctx.Err() != nil {
		return nil, &fault.Error{Op: "list", Kind: fault.Aborted, Err: ctx.Err()}
	}
	return s.seen(), nil
}

// askInTurn asks about one after the other as long as answers are quick, and
// returns where it stopped. The clock is looked at ever more rarely. One slow
// answer lets the rest be asked together; quick ones never pay for goroutines.
func (s *sight) askInTurn(ctx context.Context) (next int) {
	begun := time.Now()
	for stride := 1; next < len(s.all) && ctx.Err() == nil; stride = min(2*stride, longestStride) {
		end := min(next+stride, len(s.all))
		for i := next; i < end; i++ {
			if !s.may(ctx, i) {
				s.hide(i)
			}
		}
		now := time.Now()
		if now.Sub(begun) > time.Duration(end-next)*quickAnswer {
			return end
		}
		begun, next = now, end
	}
	return next
}

// askTogether asks about all from first on, several at a time, and returns when
// every answer is there or ctx has ended. Answers come from another process one
// by one, and a list of hundreds would take seconds.
func (s *sight) askTogether(ctx context.Context, first int) {
	if s.hidden == nil {
		s.hidden = make([]bool, len(s.all))
	}
	var next atomic.Int64
	next.Store(int64(first))
	var workers sync.WaitGroup
	for range min(askTogether, len(s.all)-first) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(s.all)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				s.hidden[i] = !s.may(ctx, int(i))
			}
		})
	}
	workers.Wait()
}

// may asks for the right to look at one container of the list. An error that is no
// refusal hides it as well: who cannot be asked allows nothing.
func (s *sight) may(ctx context.Context, i int) bool {
	one := s.all[i]
	return s.client.allowedOn(ctx, one.Name, one.UUID, access.Getattr) == nil
}

// hide makes the marks with the first container that is hidden: mostly none is.
func (s *sight) hide(i int) {
	if s.hidden == nil {
		s.hidden = make([]bool, len(s.all))
	}
	s.hidden[i] = true
}

// seen shares the list if nothing is hidden, and copies it otherwise.
func (s *sight) seen() []*container.Snapshot {
	if !slices.Contains(s.hidden, true) {
		return s.all
	}
	seen := make([]*container.Snapshot, 0, len(s.all)-1)
	for i, one := range s.all {
		if !s.hidden[i] {
			seen = append(seen, one)
		}
	}
	return seen
}
