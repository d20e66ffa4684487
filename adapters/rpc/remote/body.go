package remote

import "virtlxcd/adapters/rpc/protocol"

// ErrorBody puts any error into the interface's terms, for programs beside the three
// of this package. The admin program answers with it what is no complaint of its own.
func ErrorBody(err error) *protocol.Error { return complaintOf(err).body() }
