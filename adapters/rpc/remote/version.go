package remote

import (
	"strconv"
	"strings"

	"virtlxcd/domain/fault"
)

// A Version counts as clients are told it: one number made of three.
type Version struct{ Major, Minor, Micro uint64 }

// APIVersion is the level of the interface this daemon speaks. Clients see it as
// the library's version, and --version prints it.
var APIVersion = Version{12, 5, 0}

// Number is how the version goes over the wire: 12.5.0 is 12005000.
// See LIBVIR_VERSION_NUMBER. Parts above 999 would run into each other.
func (v Version) Number() uint64 { return v.Major*1000000 + v.Minor*1000 + v.Micro }

// String prints it with dots. It is how --version shows it: 12.5.0.
func (v Version) String() string {
	return strings.Join([]string{
		strconv.FormatUint(v.Major, 10), strconv.FormatUint(v.Minor, 10), strconv.FormatUint(v.Micro, 10),
	}, ".")
}

// kernelVersion reads the leading a.b.c of a kernel release. Later parts may be
// missing; whatever follows the digits does not count.
// "6.1.0-23-amd64" is 6.1.0, "6.8-rc1" is 6.8.0; see uname(2). A release that begins with
// no number is an internal error that shows it.
func kernelVersion(release string) (Version, error) {
	var parts [3]uint64
	rest := release
	for i := range parts {
		// The blank stands for the end, which would else not be found.
		length := strings.IndexFunc(rest+" ", notDigit)
		value, err := strconv.ParseUint(rest[:length], 10, 32)
		if err != nil {
			return Version{}, fault.New(fault.Internal, fault.Driver, "Unknown release: %s", release)
		}
		parts[i] = value
		if rest = rest[length:]; !strings.HasPrefix(rest, ".") {
			break
		}
		rest = rest[1:]
	}
	return Version{parts[0], parts[1], parts[2]}, nil
}

func notDigit(r rune) bool { return r < '0' || r > '9' }
