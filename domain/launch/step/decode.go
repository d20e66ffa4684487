package step

import (
	"errors"
	"math"
)

// ErrDamaged is returned for bytes that Append did not write: cut, of another
// version, with something behind the end, with a number in a longer form than it
// needs or too large for its field, or with a slot that does not exist. It does
// not say where: nobody could mend a script by hand.
var ErrDamaged = errors.New("damaged or foreign start script")

// Decode reads what Append wrote, and only that: whatever it accepts is encoded
// to the same bytes again. The result keeps no reference to b: its texts are
// parts of one copy, which spares a controller hundreds of small ones. Counts
// are checked against the bytes that are left before anything is allocated.
func Decode(b []byte) (*Script, error) {
	r := &reader{rest: string(b)}
	if r.number() != version {
		return nil, ErrDamaged
	}
	s := &Script{Name: r.text()}
	copy(s.UUID[:], r.take(16))
	s.Prepare, s.Enter = r.list(), r.list()
	s.Slots = r.small(maxSlots)
	for n := r.count(1); n > 0; n-- {
		s.Terminals = append(s.Terminals, r.small(maxSlots))
	}
	set := r.small(allFlags)
	s.Namespaces = Namespaces{User: set&1 != 0, Net: set&2 != 0, IPC: set&4 != 0, UTS: set&8 != 0}
	s.WaitLinks = set&16 != 0
	s.Users, s.Groups = r.ranges(), r.ranges()
	if r.bad || len(r.rest) != 0 || !s.valid() {
		return nil, ErrDamaged
	}
	return s, nil
}

// maxSlots bounds the descriptors of one container: a process may have 1024 by
// default, and a controller holds several containers.
const maxSlots = 4096

// allFlags is what flags makes of five bits that are all set.
const allFlags = 1<<5 - 1

// valid checks that every slot exists, so that executors may index without a
// check of their own. An Op that uses no slot says 0, which need not exist.
func (s *Script) valid() bool {
	for _, list := range [...]List{s.Prepare, s.Enter} {
		for i := range list {
			op := &list[i]
			if op.Slot >= s.Slots && (op.Slot > 0 || op.usesSlot()) {
				return false
			}
			if op.Code == OpenTerminal && op.Value >= uint64(s.Slots) {
				return false
			}
		}
	}
	for _, slot := range s.Terminals {
		if slot >= s.Slots {
			return false
		}
	}
	return true
}

// usesSlot: all operations of Prepare work on one, two of Enter do.
func (op *Op) usesSlot() bool {
	return op.Code >= OpenTree && op.Code <= Owner || op.Code == Pivot || op.Code == Attach
}

// reader walks over bytes; after the first shortage everything is zero and bad
// is set, so that callers need not check each item.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) fail() {
	r.bad = true
	r.rest = ""
}

func (r *reader) take(n int) string {
	if n > len(r.rest) {
		r.fail()
		return ""
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

// number reads a varint. It refuses what appendNumber never writes: a last byte
// of zero, which could be left out, and bits above the 64th (the tenth byte has
// room for one only).
func (r *reader) number() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		one := r.take(1)
		if one == "" {
			return 0
		}
		bits := uint64(one[0] & 0x7f)
		if bits<<shift>>shift != bits || one[0] == 0 && shift > 0 {
			break
		}
		n |= bits << shift
		if one[0] < 0x80 {
			return n
		}
	}
	r.fail()
	return 0
}

// small reads a number of at most limit.
func (r *reader) small(limit uint64) int {
	n := r.number()
	if n > limit {
		r.fail()
		return 0
	}
	return int(n)
}

// count reads the length of a list whose items take at least size bytes each:
// more than what is left has room for is refused, so that a few bytes cannot
// make the reader take much memory.
func (r *reader) count(size int) int {
	return r.small(uint64(len(r.rest) / size))
}

func (r *reader) text() string { return r.take(r.count(1)) }

func (r *reader) texts() (texts []string) {
	for n := r.count(1); n > 0; n-- {
		texts = append(texts, r.text())
	}
	return texts
}

// minOp is the length of an Op with nothing in it: its code, nine numbers, three
// texts and two lists, a byte each.
const minOp = 1 + 9 + 3 + 2

// list is the only one that takes its memory at once: an Op is large, and to
// grow a list of them copies all of it. An empty list is nil, as it was.
func (r *reader) list() (list List) {
	n := r.count(minOp)
	if n == 0 {
		return nil
	}
	list = make(List, 0, n)
	for ; n > 0; n-- {
		list = append(list, r.op())
	}
	return list
}

// limits are the largest values of Op.numbers, in their order.
var limits = [9]uint64{
	maxSlots, math.MaxUint64, math.MaxUint32, math.MaxUint64, math.MaxUint64,
	math.MaxUint32, math.MaxUint32, math.MaxUint64, math.MaxUint64,
}

func (r *reader) op() (op Op) {
	var numbers [9]uint64
	if code := r.take(1); code != "" {
		op.Code = Code(code[0])
	}
	for i := range limits {
		if numbers[i] = r.number(); numbers[i] > limits[i] {
			r.fail()
		}
	}
	op.setNumbers(numbers)
	op.Path, op.Source, op.Data = r.text(), r.text(), r.text()
	op.Words, op.Env = r.texts(), r.texts()
	return op
}

func (r *reader) ranges() (ranges []Range) {
	for n := r.count(3); n > 0; n-- {
		ranges = append(ranges, Range{r.id(), r.id(), r.id()})
	}
	return ranges
}

// id reads a user's, group's or range's number. small would not do: on a host of
// 32 bits an int is too short.
func (r *reader) id() uint32 {
	n := r.number()
	if n > math.MaxUint32 {
		r.fail()
	}
	return uint32(n)
}
