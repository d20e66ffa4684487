// Package background lets a program put itself into the background and tell the
// terminal, before that gets its prompt back, whether it came up.
//
//	Start            helper                     daemon
//	------------------------------------------------------------------
//	runs helper ---> new session, leads it
//	                 runs daemon -------------> no leader: never gets a terminal
//	reaps helper <-- ends
//	waits for a report on a pipe <------------- Ready, Fail, or its end
package background
