package mqttc

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker/packet"
)

// piped is a client whose server is the other end of a pipe, inside a bubble of
// synctest.
func piped(t *testing.T, keepAlive uint16, ack packet.Connack) (*Client, *packetReader, net.Conn, chan error) {
	ours, theirs := net.Pipe()
	c := New(Config{Connect: packet.Connect{Version: packet.V5, KeepAlive: keepAlive}, Message: func(*packet.Publish) {}})
	c.begin(newConnection(ours, "the server", packet.V5), &ack)
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(context.Background()) }()
	t.Cleanup(func() { theirs.Close() })
	return c, &packetReader{conn: theirs, version: packet.V5, heard: func() {}}, theirs, ended
}

func TestASilentConnectionIsProbed(t *testing.T) {
	for name, c := range map[string]struct {
		ack  packet.Connack
		want time.Duration
	}{
		"after our keep alive time": {packet.Connack{}, 60 * time.Second},
		"after the server's": {connackWith(func(p *packet.Properties) {
			p.ServerKeepAlive = 7
			p.Set(packet.PropServerKeepAlive)
		}), 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, in, theirs, ended := piped(t, 60, c.ack)
				for range 3 {
					start := time.Now()
					h, _, err := in.next()
					if err != nil || h.Type != packet.PINGREQ {
						t.Fatalf("got %v and %v, want PINGREQ", h.Type, err)
					}
					if got := time.Since(start); got != c.want {
						t.Errorf("PINGREQ came after %v, want %v", got, c.want)
					}
					theirs.Write(packet.AppendPingresp(nil))
				}
				// No answer: the connection is dead after the same time again.
				in.next()
				start := time.Now()
				err := <-ended
				if err == nil || !strings.Contains(err.Error(), "does not answer PINGREQ") {
					t.Errorf("got %v, want no answer to PINGREQ", err)
				}
				if got := time.Since(start); got != c.want {
					t.Errorf("gave up after %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestWithoutKeepAliveNothingIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, in, _, ended := piped(t, 0, packet.Connack{})
		time.Sleep(24 * time.Hour)
		client.Disconnect()
		if h, _, err := in.next(); err != nil || h.Type != packet.DISCONNECT {
			t.Errorf("got %v and %v, want DISCONNECT first", h.Type, err)
		}
		if err := <-ended; err != nil { // the server does not close: we do, after a while
			t.Errorf("got %v, want nil", err)
		}
	})
}

func TestAServerThatTakesNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, _, ended := piped(t, 0, packet.Connack{})
		if _, err := client.Publish(t.Context(), &packet.Publish{Topic: []byte("t")}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "write to the server") {
			t.Errorf("got %v, want a failed write", err)
		}
		if got := time.Since(start); got != writeTimeout {
			t.Errorf("gave up after %v, want %v", got, writeTimeout)
		}
	})
}

func TestFinishDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, in, _, ended := piped(t, 0, packet.Connack{})
		if _, err := client.Publish(t.Context(), &packet.Publish{Topic: []byte("t"), QoS: 1}); err != nil {
			t.Fatal(err)
		}
		in.next()
		start := time.Now()
		client.Finish() // and the PUBACK never comes
		if h, _, err := in.next(); err != nil || h.Type != packet.DISCONNECT {
			t.Errorf("got %v and %v, want DISCONNECT", h.Type, err)
		}
		if got := time.Since(start); got != finishTime {
			t.Errorf("DISCONNECT came after %v, want %v", got, finishTime)
		}
		<-ended
	})
}

func TestWhatWaitsToBeWrittenIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, _, ended := piped(t, 0, packet.Connack{})
		payload := make([]byte, 1<<20)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n := 0
		for ; n < 100; n++ {
			if _, err := client.Publish(ctx, &packet.Publish{Topic: []byte("t"), Payload: payload}); err != nil {
				break
			}
		}
		// What is being written, and what waits behind it.
		if n < 8 || n > 18 {
			t.Errorf("%d messages of 1 MB were taken by a server that reads nothing, want about 16", n)
		}
		<-ended
	})
}
