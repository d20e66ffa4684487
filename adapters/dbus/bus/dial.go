package bus

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"

	"virtlxcd/domain/fault"
)

// dialPlain makes a connection over which nobody can pass descriptors to this
// process. That matters because any user may send a signal, with descriptors, to
// any connection of the system bus: the library takes them in and nobody would
// close them, until the daemon has none left. A bus keeps such messages from
// connections that have not asked for descriptors, and the library asks for them
// on every unix socket it opens itself. So the socket is opened here.
//
// An address is a list, "unix:path=/run/dbus/system_bus_socket;unix:abstract=x", of
// which the first that answers is taken; see "Server Addresses" in the D-Bus
// specification.
func dialPlain(ctx context.Context, address string, options ...dbus.ConnOption) (*dbus.Conn, error) {
	var failure error
	for one := range strings.SplitSeq(address, ";") {
		conn, err := dialOne(ctx, one, options)
		if err == nil {
			return conn, nil
		}
		failure = err
	}
	return nil, failure
}

// dialOne leaves other transports than unix sockets to the library: they cannot
// carry descriptors.
func dialOne(ctx context.Context, address string, options []dbus.ConnOption) (*dbus.Conn, error) {
	name, ok := socketOf(address)
	if !ok {
		return dbus.Dial(address, options...)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", name)
	if err != nil {
		return nil, err
	}
	return dbus.NewConn(conn, options...)
}

// socketOf is the name of the unix socket an address means, with "@" in front if
// that is not a path. It is not ok for other transports, and for addresses that say
// both or nothing: about those the library complains.
func socketOf(address string) (name string, ok bool) {
	keys, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", false
	}
	for pair := range strings.SplitSeq(keys, ",") {
		key, escaped, _ := strings.Cut(pair, "=")
		if key != "path" && key != "abstract" {
			continue // a guid, or what only servers use
		}
		value, err := dbus.UnescapeBusAddressValue(escaped)
		if err != nil || value == "" || name != "" {
			return "", false
		}
		if key == "abstract" {
			value = "@" + value
		}
		name = value
	}
	return name, name != ""
}

// greet authenticates as the user this process runs as and gets a name on the bus.
// When ctx ends first the connection is closed. On failure it is closed too.
func greet(ctx context.Context, conn *dbus.Conn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil {
		err = conn.Hello()
	}
	if err == nil {
		return nil
	}
	_ = conn.Close()
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return err
}

// CallFile is Call for a method that answers with one descriptor and nothing else.
// The file becomes the caller's. It is asked for over a connection of its own that
// ends with the answer, because the one that stays takes no descriptors (see
// dialPlain). Kinds are those of Call, and System for an answer of another form; the
// descriptors in that are closed.
func (b *Bus) CallFile(ctx context.Context, destination, path, method string, args ...any) (*os.File, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, errClosed()
	}
	b.wg.Add(1)
	b.mu.Unlock()
	defer b.wg.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	conn, err := b.dialForFiles(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reply := conn.Object(destination, dbus.ObjectPath(path)).CallWithContext(ctx, method, 0, args...)
	if reply.Err != nil {
		return nil, callFailed(ctx, reply.Err, destination, method)
	}
	return onlyFile(reply.Body, destination, method)
}

// dialForFiles makes the connection of CallFile. The library opens it and asks the bus
// for descriptors. It lives for one answer, so what strangers send it is little.
func (b *Bus) dialForFiles(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.Dial(b.address)
	if err != nil {
		return nil, unreachable(err)
	}
	limited, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	err = greet(limited, conn)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, Ended(ctx.Err(), "cannot reach the system bus")
	}
	return nil, unreachable(err)
}

// onlyFile takes the descriptor out of an answer.
func onlyFile(body []any, destination, method string) (*os.File, error) {
	var files []*os.File
	for _, value := range body {
		if fd, ok := value.(dbus.UnixFD); ok {
			files = append(files, os.NewFile(uintptr(fd), method))
		}
	}
	if len(body) == 1 && len(files) == 1 {
		return files[0], nil
	}
	for _, file := range files {
		_ = file.Close()
	}
	return nil, fault.New(fault.System, fault.Host, "'%s' gave no descriptor as the answer to '%s'", destination, method)
}
