package admin

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/capture"
	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/access"
)

// recorded is the client that the recordings look at.
const (
	recordedID   = 128
	recordedPID  = 2454
	recordedTime = 1795328720
)

// Every recording of an admin client, byte by byte.
func TestRecordings(t *testing.T) {
	for name, check := range map[string]func(t *testing.T, s *stage){
		"admin-client-list": withClient,
		"admin-client-info": withClient,
		"admin-client-disconnect": func(t *testing.T, s *stage) {
			withClient(t, s)
			t.Cleanup(func() {
				synctest.Wait() // the answer is sent before the client is gone
				assert.True(t, s.main.Session(recordedID) == nil)
			})
		},
		"admin-daemon-log-outputs":  nil,
		"admin-srv-clients-info":    nil,
		"admin-srv-list":            nil,
		"admin-srv-threadpool-info": nil,
		"admin-daemon-log-filters-set": func(t *testing.T, s *stage) {
			t.Cleanup(func() { assert.Equal(t, "3:remote", s.daemon.filters) })
		},
		"admin-daemon-timeout": func(t *testing.T, s *stage) {
			t.Cleanup(func() { assert.Zero(t, *s.daemon.idle()) })
		},
		"admin-srv-threadpool-set": func(t *testing.T, s *stage) {
			t.Cleanup(func() {
				assert.Equal(t, rpc.Workers{Min: 5, Max: 25, Prio: 6, Now: 5, Free: 5}, s.main.Workers())
			})
		},
		"admin-srv-update-tls-refused": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				if check != nil {
					check(t, s)
				}
				replay(t, s, name)
			})
		})
	}
}

// withClient makes the recorded client come at the recorded time.
func withClient(t *testing.T, s *stage) {
	for range recordedID - 1 {
		ours, theirs := net.Pipe()
		ours.Close()
		require.NoError(t, s.main.ServeConn(theirs, access.Caller{}, rpc.Socket{}))
	}
	time.Sleep(time.Until(time.Unix(recordedTime, 0)))
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.main.ServeConn(theirs, access.Caller{PID: recordedPID}, rpc.Socket{})
	}()
	t.Cleanup(func() {
		ours.Close()
		<-done
	})
	synctest.Wait()
	require.NotNil(t, s.main.Session(recordedID))
}

func replay(t *testing.T, s *stage, name string) {
	recording, err := capture.Load(name)
	require.NoError(t, err)
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.admin.ServeConn(theirs, access.Caller{}, rpc.Socket{}) }()
	reader := frame.NewReader(ours)
	for i := range recording.Items {
		item := &recording.Items[i]
		switch {
		case item.Kind != capture.Packet:
		case item.From == capture.Client:
			require.True(t, item.Complete(), item.Label)
			_, err := ours.Write(item.Bytes)
			require.NoError(t, err)
		default:
			var packet frame.Packet
			require.NoError(t, reader.Read(&packet))
			require.NoError(t, item.Compare(normal(t, &packet)))
		}
	}
	require.ErrorIs(t, reader.Read(&frame.Packet{}), io.EOF)
	ours.Close()
	require.NoError(t, <-done)
}

// normal is a packet as the recorded version would have spelled it: the placeholder in
// errors has changed since.
func normal(t *testing.T, packet *frame.Packet) []byte {
	whole := append(frame.AppendHeader(nil, packet.Header), packet.Payload...)
	if packet.Header.Status == frame.Error {
		var failure protocol.Error
		require.NoError(t, failure.DecodeXDR(xdr.NewDecoder(packet.Payload)))
		*failure.Str1 = strings.Replace(*failure.Str1, "%1$s", "%s", 1)
		var err error
		whole, err = failure.AppendXDR(whole[:frame.HeaderSize])
		require.NoError(t, err)
	}
	binary.BigEndian.PutUint32(whole, uint32(len(whole)))
	return whole
}
