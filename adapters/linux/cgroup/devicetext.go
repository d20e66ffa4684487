package cgroup

import (
	"errors"
	"strconv"
	"strings"
)

// ruleText is a line as the version 1 files take and show it:
//
//	c 136:* rwm
//	b 7:0 r
func ruleText(key deviceKey, rights uint32) string {
	text := make([]byte, 0, 32)
	if key.Type == blockType {
		text = append(text, "b "...)
	} else {
		text = append(text, "c "...)
	}
	text = append(appendNumber(text, key.Major), ':')
	text = append(appendNumber(text, key.Minor), ' ')
	for _, right := range []struct {
		bit    uint32
		letter byte
	}{{mayRead, 'r'}, {mayWrite, 'w'}, {mayMake, 'm'}} {
		if rights&right.bit != 0 {
			text = append(text, right.letter)
		}
	}
	return string(text)
}

// appendNumber writes a number, or the star for any. The kernel writes the star in the
// same places.
func appendNumber(text []byte, number uint32) []byte {
	if number == anyNumber {
		return append(text, '*')
	}
	return strconv.AppendUint(text, uint64(number), 10)
}

// parseDeviceList reads devices.list; everything: nothing is denied, which the kernel
// shows as the one line "a *:* rwm". Lines that are not understood are none of ours
// and are left alone: neither taken for allowed nor taken away.
func parseDeviceList(text string) (list deviceList, everything bool) {
	list = deviceList{}
	for line := range strings.SplitSeq(text, "\n") {
		// It stands alone: other lines are shown only once something is denied.
		if strings.HasPrefix(line, "a ") {
			return deviceList{}, true
		}
		if key, rights, err := parseRule(line); err == nil {
			list[key] |= rights
		}
	}
	return list, false
}

// It is not shown: such a line is passed over.
var errRule = errors.New("not a device rule")

// parseRule reads what ruleText writes. Letters that are no right are passed over.
func parseRule(line string) (key deviceKey, rights uint32, err error) {
	words := strings.Fields(line)
	if len(words) != 3 {
		return key, 0, errRule
	}
	switch words[0] {
	case "b":
		key.Type = blockType
	case "c":
		key.Type = charType
	default:
		return key, 0, errRule
	}
	major, minor, _ := strings.Cut(words[1], ":")
	if key.Major, err = parseNumber(major); err != nil {
		return key, 0, err
	}
	if key.Minor, err = parseNumber(minor); err != nil {
		return key, 0, err
	}
	for letter, right := range map[string]uint32{"r": mayRead, "w": mayWrite, "m": mayMake} {
		if strings.Contains(words[2], letter) {
			rights |= right
		}
	}
	return key, rights, nil
}

// parseNumber reads a major or minor number, or the star. The number that stands for
// the star is none itself.
func parseNumber(text string) (uint32, error) {
	if text == "*" {
		return anyNumber, nil
	}
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil || number == anyNumber {
		return 0, errRule
	}
	return uint32(number), nil
}
