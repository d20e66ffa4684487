// Package logging prints log records the way programs that read this
// interface's logs expect them.
//
// A Log has filters by category and several outputs, all of which can be changed
// while it runs.
//
// A record's category comes from the package that logs (see categories), so no
// caller has to name it. Attributes follow the text as key=value; the journal
// also gets each as a field of its own, container="web" as VIRT_CONTAINER=web.
// Attributes named LIBVIRT_DOMAIN and LIBVIRT_CODE are for the journal alone.
//
// A record is wanted if its level is not below that of the first filter that matches its
// category, or of log_level if none does; each output takes those of its own priority and
// above. Where nobody said where to, there is one output, which follows log_level:
//
//	journald   if there is a journal, and standard input is no terminal or -d was given
//	file       else with -d: /var/log/libvirt/virtlxcd.log
//	stderr     else
//
// Nothing that is logged can fail or stop the daemon. An output that does not take a record
// at once is waited for a second, once; until it works again its records are counted
// instead, and the number is the first it is told then.
//
// Files are opened once and appended to: who rotates them has to copy and
// truncate.
package logging
