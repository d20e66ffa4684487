package store

import "strings"

// header tops every file, for the person who opens it in an editor. uuid stands
// in for a name that a shell or a comment would not take as it is: "--" ends a comment in
// XML, and a name with blanks would be two words of the command. Whoever reads a document
// skips it, as it is an XML comment.
func header(name, uuid string) string {
	which := name
	if !plain(name) {
		which = uuid
	}
	return "<!--\n" +
		"This file is written by virtlxcd, which replaces it whenever the container\n" +
		"changes: an edit made here gets lost. To change the container use\n" +
		"  virsh edit " + which + "\n" +
		"or any other program that speaks the libvirt API.\n" +
		"-->\n\n"
}

// plain says whether name can be typed into a shell without quotes, is not
// taken for an option, and may stand in an XML comment. The set is narrower than what
// shells take: other names are shown by uuid, which is as good.
func plain(name string) bool {
	if name == "" || name[0] == '-' || strings.Contains(name, "--") {
		return false
	}
	for _, r := range name {
		if !strings.ContainsRune("_.+:@%,=-", r) && !(r >= '0' && r <= '9') &&
			!(r >= 'a' && r <= 'z') && !(r >= 'A' && r <= 'Z') {
			return false
		}
	}
	return true
}
