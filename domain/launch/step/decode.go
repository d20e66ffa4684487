package step

import "errors"

// ErrDamaged is returned for bytes that Append did not write.
var ErrDamaged = errors.New("damaged or foreign start script")

// Decode reads what Append wrote. The result keeps no reference to b: its texts
// are parts of one copy, which spares a controller hundreds of small ones.
// Counts are checked against the bytes that are left before anything is allocated.
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
	set := r.number()
	s.Namespaces = Namespaces{User: set&1 != 0, Net: set&2 != 0, IPC: set&4 != 0, UTS: set&8 != 0}
	s.WaitLinks = set&16 != 0
	s.Users, s.Groups = r.ranges(), r.ranges()
	if r.bad || len(r.rest) != 0 || !s.valid() {
		return nil, ErrDamaged
	}
	return s, nil
}

// maxSlots bounds the descriptors of one container.
const maxSlots = 4096

// valid checks that every slot exists, so that executors need not.
func (s *Script) valid() bool {
	for _, list := range [...]List{s.Prepare, s.Enter} {
		for i := range list {
			op := &list[i]
			if op.Slot < 0 || op.Slot > 0 && op.Slot >= s.Slots {
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

// reader walks over bytes; after the first shortage everything is zero and bad
// is set.
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

func (r *reader) number() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		one := r.take(1)
		if one == "" {
			return 0
		}
		n |= uint64(one[0]&0x7f) << shift
		if one[0] < 0x80 {
			return n
		}
	}
	r.fail()
	return 0
}

func (r *reader) small(limit uint64) int {
	n := r.number()
	if n > limit {
		r.fail()
		return 0
	}
	return int(n)
}

// count reads the length of a list whose items take at least size bytes each.
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

func (r *reader) list() (list List) {
	n := r.count(1 + 9 + 3 + 2)
	if n == 0 {
		return nil
	}
	list = make(List, 0, n)
	for ; n > 0; n-- {
		list = append(list, r.op())
	}
	return list
}

func (r *reader) op() (op Op) {
	if code := r.take(1); code != "" {
		op.Code = Code(code[0])
	}
	var numbers [9]uint64
	for i := range numbers {
		numbers[i] = r.number()
	}
	op.setNumbers(numbers)
	op.Path, op.Source, op.Data = r.text(), r.text(), r.text()
	op.Words, op.Env = r.texts(), r.texts()
	return op
}

func (r *reader) ranges() (ranges []Range) {
	for n := r.count(3); n > 0; n-- {
		ranges = append(ranges, Range{uint32(r.number()), uint32(r.number()), uint32(r.number())})
	}
	return ranges
}
