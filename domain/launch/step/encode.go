package step

// The form on the wire: integers as unsigned varints (7 bits a byte, low end
// first), texts and lists as a count and their items. It never leaves the host
// and both ends are of one release or refuse each other (version).

// version is the first number of every script. It changes with the meaning of a
// Code or with what travels: controllers outlive the daemon that started them,
// and a script is kept for restarts.
const version = 1

// Append adds the encoded script to b and returns the longer slice. Subjects are
// left out: only the daemon speaks to people. Slots and Terminals must not be
// negative; Decode refuses what Append makes of that.
func (s *Script) Append(b []byte) []byte {
	b = appendNumber(b, version)
	b = appendText(b, s.Name)
	b = append(b, s.UUID[:]...)
	b = appendList(b, s.Prepare)
	b = appendList(b, s.Enter)
	b = appendNumber(b, uint64(s.Slots))
	b = appendNumber(b, uint64(len(s.Terminals)))
	for _, slot := range s.Terminals {
		b = appendNumber(b, uint64(slot))
	}
	b = appendNumber(b, flags(s.Namespaces.User, s.Namespaces.Net, s.Namespaces.IPC, s.Namespaces.UTS, s.WaitLinks))
	b = appendRanges(b, s.Users)
	return appendRanges(b, s.Groups)
}

// flags sets bit 0 for the first, bit 1 for the second, and so on.
func flags(bits ...bool) (set uint64) {
	for i, on := range bits {
		if on {
			set |= 1 << i
		}
	}
	return set
}

func appendList(b []byte, list List) []byte {
	b = appendNumber(b, uint64(len(list)))
	for i := range list {
		b = appendOp(b, &list[i])
	}
	return b
}

func appendOp(b []byte, op *Op) []byte {
	b = append(b, byte(op.Code))
	for _, number := range op.numbers() {
		b = appendNumber(b, number)
	}
	for _, text := range [...]string{op.Path, op.Source, op.Data} {
		b = appendText(b, text)
	}
	return appendTexts(appendTexts(b, op.Words), op.Env)
}

// numbers and setNumbers are the one place that knows the order of an Op's
// numbers; limits in decode.go follows it.
func (op *Op) numbers() [9]uint64 {
	return [...]uint64{
		uint64(op.Slot), op.Flags, uint64(op.Mode), op.Major, op.Minor,
		uint64(op.UID), uint64(op.GID), op.Value, op.Value2,
	}
}

func (op *Op) setNumbers(n [9]uint64) {
	op.Slot, op.Flags, op.Mode, op.Major, op.Minor = int(n[0]), n[1], uint32(n[2]), n[3], n[4]
	op.UID, op.GID, op.Value, op.Value2 = uint32(n[5]), uint32(n[6]), n[7], n[8]
}

func appendRanges(b []byte, ranges []Range) []byte {
	b = appendNumber(b, uint64(len(ranges)))
	for _, r := range ranges {
		b = appendNumber(appendNumber(appendNumber(b, uint64(r.Inside)), uint64(r.Outside)), uint64(r.Count))
	}
	return b
}

func appendTexts(b []byte, texts []string) []byte {
	b = appendNumber(b, uint64(len(texts)))
	for _, text := range texts {
		b = appendText(b, text)
	}
	return b
}

func appendText(b []byte, text string) []byte {
	return append(appendNumber(b, uint64(len(text))), text...)
}

// appendNumber writes 300 (0b10_0101100) as 0xac 0x02.
func appendNumber(b []byte, n uint64) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}
