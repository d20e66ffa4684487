package remote

import "virtlxcd/adapters/rpc/protocol"

// ErrorBody puts any error into the interface's terms, for programs beside the three
// of this package.
func ErrorBody(err error) *protocol.Error { return complaintOf(err).body() }
