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
// ENOENT: a name is not there.
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
	fields := findLine("/etc/group", group)
	switch id, ok := decimal(group); {
	case fields != nil:
		who.gid, _ = decimal(fields[2])
	case ok:
		who.gid = id
	default:
		return who, unix.ENOENT
	}
	return who, nil
}

func (who *identity) readUser(user string) error {
	fields := findLine("/etc/passwd", user)
	if len(fields) < 4 {
		id, ok := decimal(user)
		if !ok {
			return unix.ENOENT
		}
		who.uid = id
		return nil
	}
	who.uid, _ = decimal(fields[2])
	who.gid, _ = decimal(fields[3])
	who.groups = append(membership(fields[0]), who.gid)
	return nil
}

// findLine returns the fields of the line whose name or number is key.
func findLine(path, key string) (found []string) {
	eachLine(path, func(fields []string) bool {
		if len(fields) < 3 || fields[0] != key && fields[2] != key {
			return true
		}
		found = fields
		return false
	})
	return found
}

// membership lists the groups that name a user.
func membership(user string) (groups []uint32) {
	eachLine("/etc/group", func(fields []string) bool {
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

func eachLine(path string, visit func(fields []string) bool) {
	rest := readFile(path)
	for rest != "" {
		var line string
		line, rest = cut(rest, '\n')
		if !visit(split(line)) {
			return
		}
	}
}

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

// readFile returns the content, or nothing for a file that cannot be read.
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
