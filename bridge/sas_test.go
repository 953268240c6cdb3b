package bridge

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker/packet"
)

// The expected token is what Microsoft's own client library makes of these values:
// azure-iot-device, iothub_connection: HMAC-SHA256 over the resource, percent-encoded,
// a line feed and the seconds, with the key decoded from base64.
func TestTheTokenIsSignedAsTheHubChecksIt(t *testing.T) {
	key, _ := base64.StdEncoding.DecodeString("c2VjcmV0LWtleS1vZi10aGUtZGV2aWNl")
	got := sasToken("plant.azure-devices.net/devices/gw 1", key, time.Unix(1795867445, 0))
	const want = "SharedAccessSignature sr=plant.azure-devices.net%2Fdevices%2Fgw%201&sig=o%2Fip5CPsQ63cMiuJizuXfJjhh1ZRblaAV1dO9V0yvQI%3D&se=1795867445"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAKeyThatIsNoneIsSaidWithItsFile(t *testing.T) {
	cfg := bridgeTo(t, "azure-iot-hub")
	b, err := New(cfg, newMemory(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	file := cfg.Credentials.SharedAccessKeyFile
	for _, text := range []string{"", "HostName=plant.azure-devices.net;DeviceId=gw;SharedAccessKey=c2VjcmV0"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.secret(time.Now()); err == nil || !strings.Contains(err.Error(), file+" is no key in base64") || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// A hub that looks at the token's end sees each connection end in order before it,
// and every message once.
func TestTheTokenIsRenewedBeforeItEndsAndNothingIsLost(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/key", []byte("c2VjcmV0"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		src := newMemory(t)
		cfg := bridgeTo(t, "azure-iot-hub")
		cfg.Credentials.SharedAccessKeyFile = dir + "/key"
		b, err := New(cfg, src, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began, got := time.Now(), 0
		for day := range 3 {
			ours, hubs := net.Pipe()
			ended := make(chan string, 1)
			go func() { ended <- hubDay(hubs, &got) }()
			password, holds, err := b.secret(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			l, err := b.handshake(ours, packet.V311, password)
			if err != nil {
				t.Fatal(err)
			}
			l.raw, l.holds = ours, holds
			s := newSession(b, l)
			src.put("site/meter1/power", "1", "2")
			time.AfterFunc(holds-time.Millisecond, func() { src.put("site/meter1/power", "3") })
			if err := s.run(ctx); err != errRenew {
				t.Errorf("day %d: got %v, want %v", day, err, errRenew)
			}
			if how := <-ended; how != "DISCONNECT" {
				t.Errorf("day %d: the connection ended with %s, want DISCONNECT", day, how)
			}
		}
		if passed := time.Since(began); got != 9 || src.Backlog().Messages != 0 || passed < 70*time.Hour || passed > 72*time.Hour {
			t.Errorf("got %d messages, %d wait, after %v; want 9 and 0 within 3 days", got, src.Backlog().Messages, passed)
		}
	})
}

// hubDay is one connection of a hub that cuts it at the token's end. It gives what
// ended it.
func hubDay(c net.Conn, got *int) string {
	defer c.Close()
	packets := newPacketReader(c, largestPacket)
	for {
		in, err := packets.next()
		if err != nil {
			return err.Error()
		}
		var out []byte
		switch in.Type {
		case packet.CONNECT:
			var connect packet.Connect
			if err := connect.Decode(in.body); err != nil {
				return err.Error()
			}
			token, _ := url.ParseQuery(strings.TrimPrefix(string(connect.Password), "SharedAccessSignature "))
			end, err := time.ParseDuration(token.Get("se") + "s")
			if err != nil {
				return "a token without an end"
			}
			if err := c.SetDeadline(time.Unix(int64(end.Seconds()), 0)); err != nil {
				return err.Error()
			}
			out = (&packet.Connack{SessionPresent: *got > 0}).Append(nil, packet.V311)
		case packet.PUBLISH:
			var p packet.Publish
			if err := p.Decode(packet.V311, in.Flags, in.body); err != nil {
				return err.Error()
			}
			*got++
			out = (&packet.Ack{Type: packet.PUBACK, PacketID: p.PacketID}).Append(nil, packet.V311)
		case packet.PINGREQ:
			time.Sleep(time.Millisecond) // of the bubble's time: no answer comes at once
			out = packet.AppendPingresp(nil)
		case packet.DISCONNECT:
			_, _ = io.Copy(io.Discard, c)
			return "DISCONNECT"
		}
		if _, err := c.Write(out); err != nil {
			return err.Error()
		}
	}
}
