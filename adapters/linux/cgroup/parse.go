package cgroup

// The files of counters are parsed without allocation: they are read with
// every question for a container's state. They are the kernel's own, so what is not
// as expected counts 0 instead of failing the question.

// number reads the digits at the start of text; what follows is ignored. Beyond 64
// bits it wraps; no counter gets there.
func number(text []byte) uint64 {
	var n uint64
	for _, c := range text {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// field finds the line "key number" and returns its number; 0 if there is none. The
// first of several counts. What the kernel calls a flat keyed file:
//
//	populated 1
//	frozen 0
func field(text []byte, key string) uint64 {
	for len(text) > 0 {
		line := text
		text = nil
		for i, c := range line {
			if c == '\n' {
				line, text = line[:i], line[i+1:]
				break
			}
		}
		if len(line) > len(key) && line[len(key)] == ' ' && string(line[:len(key)]) == key {
			return number(line[len(key)+1:])
		}
	}
	return 0
}
