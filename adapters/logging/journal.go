package logging

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// identifier is what the journal shows as the program, whatever it was called by.
const identifier = "virtlxcd"

// journal sends records with their fields to the journal, in its native protocol
// (systemd's "Native Journal Protocol"). A datagram is a list of fields; the journal
// takes each as one entry.
type journal struct{ datagrams }

// write sends one datagram for each entry. The first that fails ends it: those before are
// in the journal, and the caller counts the batch as lost, at most one line too many.
func (j *journal) write(batch []*entry, patience time.Duration) error {
	for _, e := range batch {
		if err := j.sendEntry(appendEntry(nil, e), patience); err != nil {
			return err
		}
	}
	return nil
}

// sendEntry passes what is too large for a datagram as a file: the kernel says when, by
// the size of the socket's buffer (socket(7)). The journal reads such a file only if it
// is sealed (memfd_create(2)). A descriptor without bytes is how the journal knows that
// the entry is in the file.
func (j *journal) sendEntry(text []byte, patience time.Duration) error {
	err := j.send(text, nil, patience)
	if !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.ENOBUFS) {
		return err
	}
	file, err := sealed(text)
	if err != nil {
		return err
	}
	defer file.Close()
	return j.send(nil, unix.UnixRights(int(file.Fd())), patience)
}

// sealed makes a file in memory that nobody can change any more, which is what
// the journal demands. The caller closes it.
func sealed(text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "journal-entry")
	if _, err = file.Write(text); err == nil {
		const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// appendEntry prints the fields of an entry in the journal's native form. MESSAGE has the
// attributes too, for those who read it as text; as fields they can be searched for:
// journalctl VIRT_CONTAINER=web. The rest are fields of systemd.journal-fields(7);
// LIBVIRT_SOURCE is the family's own.
func appendEntry(text []byte, e *entry) []byte {
	text = appendField(text, "MESSAGE", e.text)
	text = appendField(text, "PRIORITY", strconv.Itoa(severities[e.priority]))
	text = appendField(text, "SYSLOG_FACILITY", strconv.Itoa(daemonFacility))
	text = appendField(text, "SYSLOG_IDENTIFIER", identifier)
	text = appendField(text, "LIBVIRT_SOURCE", e.site.category)
	text = appendField(text, "TID", strconv.Itoa(e.thread))
	if e.site.function != "" {
		text = appendField(text, "CODE_FILE", e.site.file)
		text = appendField(text, "CODE_LINE", strconv.Itoa(e.site.line))
		text = appendField(text, "CODE_FUNC", e.site.function)
	}
	for _, f := range e.fields {
		text = appendField(text, f.name, f.value)
	}
	return text
}

// appendField prints NAME=VALUE and a newline; a value of several lines after its length,
// 8 bytes little endian, as it would end too early else. Names are ours and never need
// this.
func appendField(text []byte, name, value string) []byte {
	text = append(text, name...)
	if strings.Contains(value, "\n") {
		text = append(text, '\n')
		text = binary.LittleEndian.AppendUint64(text, uint64(len(value)))
	} else {
		text = append(text, '=')
	}
	text = append(text, value...)
	return append(text, '\n')
}
