package stage

import "golang.org/x/sys/unix"

// identity is a user as the container's own files know it.
type identity struct {
	uid, gid uint32
	groups   []uint32
}

// databaseLimit bounds how much of a user database is read: it belongs to the
// container, so it may be anything.
const databaseLimit = 4 << 20

// lookUp resolves names or numbers with the container's passwd and group files
// (passwd(5), group(5)). Empty user: root, without supplementary groups.
// ENOENT: a name is not there. EINVAL: it is, but its line gives no usable number,
// which must not end as root (0) or as "unchanged" (-1, setresuid(2)).
// It runs after the root was changed, in a program without the C library, so what
// other sources of users (nsswitch.conf(5)) know is not found.
func lookUp(user, group string) (identity, error) {
	var who identity
	if user != "" {
		if err := who.readUser(user); err != nil {
			return who, err
		}
	}
	if group == "" {
		return who, nil
	}
	fields := findLine(readFile("/etc/group"), 3, group)
	var err error
	if fields == nil {
		who.gid, err = unlisted(group)
	} else {
		who.gid, err = listed(fields[2])
	}
	return who, err
}

// readUser takes a user's group and supplementary groups as well, as login(1)
// does. A number without a line has none: its group is 0.
// The group of the line is one of the supplementary ones too, as initgroups(3) does it.
func (who *identity) readUser(user string) (err error) {
	fields := findLine(readFile("/etc/passwd"), 4, user)
	if fields == nil {
		who.uid, err = unlisted(user)
		return err
	}
	if who.uid, err = listed(fields[2]); err != nil {
		return err
	}
	if who.gid, err = listed(fields[3]); err != nil {
		return err
	}
	who.groups = append(membership(readFile("/etc/group"), fields[0]), who.gid)
	return nil
}

// listed reads the number of a line that was found.
func listed(number string) (uint32, error) {
	if id, ok := decimal(number); ok {
		return id, nil
	}
	return 0, unix.EINVAL
}

// unlisted takes a number for itself: it needs no line.
func unlisted(key string) (uint32, error) {
	if id, ok := decimal(key); ok {
		return id, nil
	}
	return 0, unix.ENOENT
}

// findLine returns the fields of the first line whose name or number is key,
// among those with at least so many fields ("bob:x:1000:100:..." has four and more).
// A line whose name is a number is found by either; the first one counts.
func findLine(text string, atLeast int, key string) (found []string) {
	eachLine(text, func(fields []string) bool {
		if len(fields) < atLeast || fields[0] != key && fields[2] != key {
			return true
		}
		found = fields
		return false
	})
	return found
}

// membership lists the groups whose fourth field ("bob,eve") names a user.
// Lines without a usable number are passed over: they name a group that cannot be set.
func membership(text, user string) (groups []uint32) {
	eachLine(text, func(fields []string) bool {
		if len(fields) < 4 {
			return true
		}
		for members := fields[3]; members != ""; {
			var member string
			member, members = cut(members, ',')
			if id, ok := decimal(fields[2]); ok && member == user {
				groups = append(groups, id)
				break
			}
		}
		return true
	})
	return groups
}

// eachLine visits the fields of every line until visit says no.
func eachLine(text string, visit func(fields []string) bool) {
	for text != "" {
		var line string
		line, text = cut(text, '\n')
		if !visit(split(line)) {
			return
		}
	}
}

// split is strings.Split at colons.
func split(line string) (fields []string) {
	for {
		field, rest := cut(line, ':')
		fields = append(fields, field)
		if len(field) == len(line) {
			return fields
		}
		line = rest
	}
}

// readFile returns the content, or nothing for a file that cannot be read. It does
// not wait for a FIFO, nor take a terminal for its own: inside, a path may be
// anything. What lies beyond databaseLimit is not read.
func readFile(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var content []byte
	chunk := make([]byte, 2<<10)
	for len(content) < databaseLimit {
		n, err := unix.Read(fd, chunk)
		if n <= 0 || err != nil {
			break
		}
		content = append(content, chunk[:n]...)
	}
	return string(content)
}

// decimal reads an id; ok is false for anything that is none.
// 4294967295 is refused: it is -1, "unchanged", for setresuid(2).
func decimal(text string) (id uint32, ok bool) {
	if text == "" || len(text) > 10 {
		return 0, false
	}
	var n uint64
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(text[i]-'0')
	}
	return uint32(n), n < 1<<32-1
}
