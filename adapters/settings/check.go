package settings

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"virtlxcd/domain/fault"
)

// Check reads both files as a daemon would and writes to out, a line each, what
// it would say about them. A missing file is a problem unless it is at its usual
// path. further are checks of what is not known here, such as the syntax of log
// filters: Rejected places what they find. They are run only if nothing else is
// wrong. InvalidArgument says how many problems there are, System that out took nothing.
// It changes no file and takes no lock, so it may run beside the daemon. The report is
// collected first and written in one call.
func Check(usual Paths, daemonPath, driverPath string, out io.Writer, further ...func(*Daemon) error) error {
	var report bytes.Buffer
	daemon, notices, problems := loadDaemon(daemonPath, daemonPath != usual.DaemonConfig)
	if len(problems) == 0 {
		problems = refusals(&daemon, further)
	}
	found := describe(&report, daemonPath, notices, problems)

	// The second file is read whatever the first one is like: one run tells all.
	_, notices, problems = loadDriver(driverPath, driverPath != usual.DriverConfig)
	found += describe(&report, driverPath, notices, problems)

	if _, err := out.Write(report.Bytes()); err != nil {
		return fault.Wrap(err, fault.System, "cannot write what was found in the configuration")
	}
	if found > 0 {
		return fault.New(fault.InvalidArgument, fault.Host, "problems found in the configuration: %d", found)
	}
	return nil
}

// refusals are what further checks find, in their order. They look at a whole Daemon, so
// they are not asked about one of which a part could not be read.
func refusals(daemon *Daemon, further []func(*Daemon) error) (problems []error) {
	for _, check := range further {
		if err := check(daemon); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// describe writes the lines about one file: notices, then problems, or that all is well.
// It returns the number of problems. A missing file that is required is a problem
// already; only of an optional one is said that the defaults count.
func describe(out *bytes.Buffer, path string, notices []Notice, problems []error) int {
	for _, n := range notices {
		fmt.Fprintf(out, "notice: %s\n", n)
	}
	for _, problem := range problems {
		fmt.Fprintf(out, "error: %s\n", problem)
	}
	if len(problems) == 0 {
		state := "ok"
		if _, err := os.Stat(path); os.IsNotExist(err) {
			state = "does not exist, the defaults count"
		}
		fmt.Fprintf(out, "%s: %s\n", path, state)
	}
	return len(problems)
}
