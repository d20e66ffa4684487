package logging

import (
	"log/slog"
	"math"
	"strconv"
	"strings"

	"virtlxcd/domain/fault"
)

// priority is a level as settings spell it: 1 debug ... 4 error. The digits stand in
// files and in what administrators send, so they do not change.
type priority int

const (
	debug priority = 1 + iota
	info
	warning
	failure
)

// priorityOf sorts any level in: one between two has the priority of the lower.
func priorityOf(level slog.Level) priority {
	switch {
	case level < slog.LevelInfo:
		return debug
	case level < slog.LevelWarn:
		return info
	case level < slog.LevelError:
		return warning
	}
	return failure
}

// threshold is the lowest level of the priority. debug takes in all below slog's own. One
// above failure is what adjust uses for an output that is not there: no record reaches
// it.
func (p priority) threshold() slog.Level {
	switch p {
	case debug:
		return math.MinInt
	case info:
		return slog.LevelInfo
	case warning:
		return slog.LevelWarn
	case failure:
		return slog.LevelError
	}
	return math.MaxInt // above all
}

// String is the digit of settings, not the word of lines.
func (p priority) String() string { return strconv.Itoa(int(p)) }

// parsePriority takes exactly one digit.
func parsePriority(text string) (priority, bool) {
	if len(text) != 1 || text[0] < '1' || text[0] > '4' {
		return 0, false
	}
	return priority(text[0] - '0'), true
}

// Bounds of settings: far above any use, below what would slow down logging.
const (
	mostFilters    = 1024
	mostOutputs    = 64
	longestSetting = 64 << 10
)

// split cuts a setting at its blanks. InvalidArgument if it is too long.
func split(setting, text string) ([]string, error) {
	if len(text) > longestSetting {
		return nil, fault.New(fault.InvalidArgument, fault.Host, "%s of %d bytes are too long", setting, len(text))
	}
	return strings.Fields(text), nil
}

// filter gives the categories that match a priority of their own. It can make them louder
// or quieter than the rest.
type filter struct {
	priority priority
	pattern  string
}

// filters decide in their order. The first that matches counts, so the narrow ones go
// first.
type filters []filter

// parseFilters reads "N:MATCH" items between blanks, as in "1:rpc 4:util". InvalidArgument,
// in words that people look up.
func parseFilters(text string) (filters, error) {
	items, err := split("log filters", text)
	if err != nil {
		return nil, err
	}
	if len(items) > mostFilters {
		return nil, fault.New(fault.InvalidArgument, fault.Host, "%d log filters are too many", len(items))
	}
	list := make(filters, 0, len(items))
	for _, item := range items {
		one, err := parseFilter(item)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// parseFilter reads one. MATCH is a glob that may fit anywhere in a category, so it gets a
// star on either side and is shown with them. A "+" before MATCH is taken and not shown
// again.
func parseFilter(item string) (filter, error) {
	number, match, found := strings.Cut(item, ":")
	if !found || strings.Contains(match, ":") {
		return filter{}, fault.New(fault.InvalidArgument, fault.Host, "Malformed format for filter '%s'", item)
	}
	p, ok := parsePriority(number)
	if !ok {
		return filter{}, fault.New(fault.InvalidArgument, fault.Host, "Invalid priority '%s' for filter '%s'", number, item)
	}
	bare := strings.TrimPrefix(match, "+") // once asked for a stack trace
	if bare == "" {
		return filter{}, fault.New(fault.InvalidArgument, fault.Host, "Invalid match string '%s'", match)
	}
	return filter{priority: p, pattern: "*" + bare + "*"}, nil
}

// String lists them the way clients know it.
func (list filters) String() string {
	var text strings.Builder
	for _, f := range list {
		text.WriteString(f.priority.String() + ":" + f.pattern + " ")
	}
	return text.String()
}

// of is the priority from which on records of the category are wanted. otherwise is
// log_level.
func (list filters) of(category string, otherwise priority) priority {
	for _, f := range list {
		if glob(f.pattern, category) {
			return f.priority
		}
	}
	return otherwise
}

// lowest is the least that of can answer: what is below it need not be asked about. A
// filter above log_level does not raise it: other categories still have log_level.
func (list filters) lowest(otherwise priority) priority {
	for _, f := range list {
		otherwise = min(otherwise, f.priority)
	}
	return otherwise
}

// glob matches a pattern in which "*" stands for any text and "?" for one byte.
// It takes time proportional to the product of the lengths at worst. Only the last star
// is tried again: what an earlier one matched can stay, as the later one takes any text.
// So it never calls itself, whatever an administrator writes.
func glob(pattern, text string) bool {
	retry, from := -1, 0 // after the last star, and where its text ends
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			retry, from = p+1, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case retry >= 0:
			from++
			p, t = retry, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
