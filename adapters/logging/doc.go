// Package logging prints log records the way programs that read this
// interface's logs expect them.
//
// Log is for the daemon: filters by category, several outputs, all of which can
// be changed while it runs. Handler prints lines to one writer.
//
// A record's category comes from the package that logs (see categories), so no
// caller has to name it. Attributes follow the text as key=value; the journal
// also gets each as a field of its own, container="web" as VIRT_CONTAINER=web.
// Attributes named LIBVIRT_DOMAIN and LIBVIRT_CODE are for the journal alone.
//
// Files are opened once and appended to: who rotates them has to copy and
// truncate.
package logging
