package admin

import (
	"github.com/moby/sys/user"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
)

const overUnix = 0 // the transport of a local socket

// client is how a session is named in answers. Timestamp is when it connected, in seconds
// since 1970.
func (s *server) client(session *rpc.Session) protocol.AdminClient {
	return protocol.AdminClient{
		Srv: s.object(), ID: session.ID(), Timestamp: session.Since().Unix(), Transport: overUnix,
	}
}

// listClients is virAdmServerListClients, oldest first. More than the interface's maximum
// are an error: half a list would pass for the whole. Ids count up, so the order of ids
// is that of coming.
func listClients(r *request, args *protocol.AdminServerListClientsArgs) (rpc.Body, error) {
	found, err := r.server(args.Srv)
	if err != nil {
		return nil, err
	}
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	sessions := found.Sessions()
	answer := &protocol.AdminServerListClientsRet{Ret: uint32(len(sessions))}
	switch {
	// Who only wants the number gets it, however many there are.
	case args.NeedResults == 0:
		return answer, nil
	case len(sessions) > protocol.AdminClientListMax:
		return nil, tooMany("clients", len(sessions), protocol.AdminClientListMax)
	}
	answer.Clients = make([]protocol.AdminClient, len(sessions))
	for i, session := range sessions {
		answer.Clients[i] = found.client(session)
	}
	return answer, nil
}

// lookupClient is virAdmServerLookupClient. It is how virt-admin turns an id that was
// typed into an object.
func lookupClient(r *request, args *protocol.AdminServerLookupClientArgs) (rpc.Body, error) {
	found, err := r.server(args.Srv)
	if err != nil {
		return nil, err
	}
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	session := found.Session(args.ID)
	if session == nil {
		return nil, noClient(args.ID)
	}
	return &protocol.AdminServerLookupClientRet{Clnt: found.client(session)}, nil
}

// clientInfo is virAdmClientGetInfo. It reads files of accounts and asks the kernel for
// the label: not inline. A server that does not exist is told in the other wording (see
// errors.go), and flags are looked at last.
func clientInfo(r *request, args *protocol.AdminClientGetInfoArgs) (rpc.Body, error) {
	found, err := r.matching(args.Clnt.Srv)
	if err != nil {
		return nil, err
	}
	session := found.Session(args.Clnt.ID)
	if session == nil {
		return nil, noMatchingClient(args.Clnt.ID)
	}
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	return &protocol.AdminClientGetInfoRet{Params: r.identity(session)}, nil
}

// identity is what the kernel knows about a client. For whom it says that it speaks
// does not matter here: an administrator wants to know which process it is. Numbers
// without an account have no name. The order is that in which virt-admin prints it. It is
// the identity of when the client connected: the process may have gone since.
func (r *request) identity(session *rpc.Session) []protocol.TypedParam {
	caller := session.Caller()
	params := []protocol.TypedParam{
		protocol.BooleanParam("readonly", session.ReadOnly()),
		protocol.IntParam("unix_user_id", int32(caller.UID)),
	}
	// An absent field is how clients know that there is no name.
	if name := r.userName(int(caller.UID)); name != "" {
		params = append(params, protocol.StringParam("unix_user_name", name))
	}
	params = append(params, protocol.IntParam("unix_group_id", int32(caller.GID)))
	if name := r.groupName(int(caller.GID)); name != "" {
		params = append(params, protocol.StringParam("unix_group_name", name))
	}
	params = append(params, protocol.IntParam("unix_process_id", int32(caller.PID)))
	if label := session.Label(); label != "" {
		params = append(params, protocol.StringParam("selinux_context", label))
	}
	return params
}

// userName is "" if there is no such account, or none can be looked up. The file is read
// each time: it is small, and accounts change.
func (s *Service) userName(uid int) string {
	found, err := user.ParsePasswdFileFilter(s.users, func(u user.User) bool { return u.Uid == uid })
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[0].Name
}

// groupName is userName for groups.
func (s *Service) groupName(gid int) string {
	found, err := user.ParseGroupFileFilter(s.groups, func(g user.Group) bool { return g.Gid == gid })
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[0].Name
}

// closeClient is virAdmClientClose. The connection is closed at once, without a word to
// the client; its calls end with its context. The administrator's own connection may be
// closed as well.
func closeClient(r *request, args *protocol.AdminClientCloseArgs) (rpc.Body, error) {
	found, err := r.server(args.Clnt.Srv)
	if err != nil {
		return nil, err
	}
	session := found.Session(args.Clnt.ID)
	if session == nil {
		return nil, noClient(args.Clnt.ID)
	}
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	// Closed before it is logged: the log may take its time.
	session.Close()
	r.changed("client disconnected", "server", found.name, "client", args.Clnt.ID)
	return nil, nil
}
