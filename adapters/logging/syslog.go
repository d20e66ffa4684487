package logging

import (
	"os"
	"strconv"
	"time"
)

const (
	daemonFacility = 3 // LOG_DAEMON without its shift (syslog(3))
	// longestSyslog is what syslog daemons take of one message, about.
	longestSyslog = 60 << 10
)

// severities are those of syslog, by priority. The journal's PRIORITY has the same
// numbers. The family has no notice and nothing above an error.
var severities = [...]int{debug: 7, info: 6, warning: 4, failure: 3}

// syslog sends records to the host's syslog daemon.
type syslog struct {
	datagrams
	identifier string
}

// write sends one datagram for each entry, as journal does.
func (s *syslog) write(batch []*entry, patience time.Duration) error {
	for _, e := range batch {
		if err := s.send(s.message(e), nil, patience); err != nil {
			return err
		}
	}
	return nil
}

// message is in the form every syslog daemon expects of local programs, in
// local time: "<28>Jan 31 13:45:01 virtlxcd[815]: 4711: warning : PLACE : text". The number
// is facility and severity (RFC 3164); the time of the line in a file is left out. A text
// that is too long loses its end, which may be half a letter.
func (s *syslog) message(e *entry) []byte {
	text := append([]byte{'<'}, strconv.Itoa(daemonFacility<<3|severities[e.priority])...)
	text = e.time.Local().AppendFormat(append(text, '>'), time.Stamp)
	text = append(text, " "+s.identifier+"["+strconv.Itoa(os.Getpid())+"]: "...)
	text = e.appendBody(text)
	return text[:min(len(text), longestSyslog)]
}
