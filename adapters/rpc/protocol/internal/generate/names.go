package main

import (
	"strings"
	"unicode"
)

// spellings holds the words that Go writes in another way than with one capital.
// The keys are whole words in small letters. A word that is missing here still gives
// valid Go, only of a shape that linters complain of.
var spellings = map[string]string{
	"id": "ID", "xml": "XML", "uuid": "UUID", "uri": "URI", "cpu": "CPU", "os": "OS", "mac": "MAC", "ip": "IP",
	"acl": "ACL", "nmi": "NMI", "pm": "PM", "fd": "FD", "fds": "FDs", "io": "IO", "iothread": "IOThread",
	"iothreads": "IOThreads", "fsinfo": "FSInfo", "fsfreeze": "FSFreeze", "fsthaw": "FSThaw", "fstrim": "FSTrim",
	"ssh": "SSH", "sev": "SEV", "dhcp": "DHCP", "sasl": "SASL", "nwfilter": "NWFilter", "nwfilters": "NWFilters",
	"rtc": "RTC", "pmsuspend": "PMSuspend", "pmwakeup": "PMWakeup", "nic": "NIC", "tls": "TLS", "doi": "DOI",
	"mhz": "MHz", "blkio": "BlkIO", "domxml": "DomXML", "dxml": "DXML",
}

// goName joins the words of a name, which are separated by underscores or by a
// capital after a small letter.
// domain_get_xml_desc becomes DomainGetXMLDesc, callbackID CallbackID.
// Two names that become the same would not compile, so nothing has to look for them.
func goName(name string) string {
	var b strings.Builder
	for _, word := range splitWords(name) {
		if spelt, ok := spellings[strings.ToLower(word)]; ok {
			b.WriteString(spelt)
			continue
		}
		b.WriteString(strings.ToUpper(word[:1]))
		b.WriteString(word[1:])
	}
	return b.String()
}

// "domain_get_xml_desc" has four words, "callbackID" two, "STRING_MAX" two.
// A run of capitals is one word: only the change from a small letter to one counts.
func splitWords(name string) []string {
	var words []string
	for _, part := range strings.Split(name, "_") {
		start := 0
		for i := 1; i < len(part); i++ {
			if unicode.IsUpper(rune(part[i])) && unicode.IsLower(rune(part[i-1])) {
				words = append(words, part[start:i])
				start = i
			}
		}
		if part != "" {
			words = append(words, part[start:])
		}
	}
	return words
}

// typeName drops the marker of what cannot be absent: in Go that is the rule.
// nonnull_domain becomes Domain; domain, which may be absent, becomes *Domain.
// The marker is the protocol's: "nonnull_domain" is a domain, "domain" a pointer to one.
func typeName(name string) string { return goName(strings.TrimPrefix(name, "nonnull_")) }

// constName makes StringMax of STRING_MAX.
// Names of constants come in capitals, which goName would keep.
func constName(name string) string { return goName(strings.ToLower(name)) }

// family is the object a message is about; each family has a file.
// Files would be too long to be read otherwise: the remote program has 700 messages.
// The words are those with which names of the remote program begin. What begins
// otherwise, or is part of many messages, is an object.
// A message of the program lxc has the family of its name as well.
func family(name string) string {
	if strings.HasPrefix(name, "nonnull_") {
		return "objects"
	}
	word, _, _ := strings.Cut(name, "_")
	switch word {
	case "connect", "domain", "network", "node", "nwfilter", "interface", "storage", "secret", "auth":
		return word
	}
	return "objects"
}
