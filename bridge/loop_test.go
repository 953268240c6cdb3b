package bridge

import (
	"testing"

	"headgate/broker/packet"
	"headgate/broker/topic"
)

func TestFiltersThatShareATopicOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"#", "a", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/+", "+/b", true}, {"a/b", "a/b", true},
		{"+/+", "a/#", true}, {"a/+/c", "a/b/#", true}, {"a/b", "a/c", false}, {"a", "a/b", false}, {"a/+", "a", false},
		{"a/+", "b/#", false}, {"+", "a/b", false}, {"a/b/#", "a/+/c", true},
	} {
		if topic.Overlap(c.a, c.b) != c.want || topic.Overlap(c.b, c.a) != c.want {
			t.Errorf("%s and %s: want %v", c.a, c.b, c.want)
		}
	}
}

func TestOn311TheBridgeBitIsSetWhereSomethingCouldComeBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		down string
		want bool
	}{{"plant/#", true}, {"other/#", false}} {
		u := listenUpstream(t)
		cfg := config(u.addr)
		cfg.Version = version311
		cfg.Down = []Down{{Filter: test.down}}
		start(t, cfg, newMemory(t))
		if c := u.welcome(nil); c.connect.Bridge != test.want {
			t.Errorf("down %s: the bit is %v", test.down, c.connect.Bridge)
		}
	}
}

func TestAnUpstreamThatRefusesTheBridgeBitIsAskedWithoutIt(t *testing.T) {
	t.Parallel()
	u := listenUpstream(t)
	cfg := config(u.addr)
	cfg.Version = version311
	cfg.Down = []Down{{Filter: "plant/#"}}
	start(t, cfg, newMemory(t), hasty)
	no := packet.Connack{Reason: packet.ConnectUnacceptableVersion}
	for _, want := range []bool{true, false, true} {
		c := u.accept()
		if c.connect.Bridge != want {
			t.Fatalf("the bit is %v, want %v", c.connect.Bridge, want)
		}
		c.send(no.Append(nil, c.v))
		c.net.Close()
	}
	for range 2 { // once it has worked without, it stays so
		c := u.welcome(nil)
		if c.connect.Bridge {
			t.Error("the bit is set again")
		}
		c.net.Close()
	}
}

func TestTwoGatewaysTellEachOtherWhoTheyAre(t *testing.T) {
	t.Parallel()
	u := listenUpstream(t)
	peers := make(chan string, 10)
	cfg := config(u.addr)
	cfg.Connected = func(connected bool, peer string) {
		if connected {
			peers <- peer
		}
	}
	start(t, cfg, newMemory(t), hasty)
	for _, want := range []string{"cloud7", ""} {
		c := u.welcome(func(a *packet.Connack) {
			if want != "" {
				a.Properties.User = []packet.UserProperty{{Key: []byte("headgate-gateway"), Value: []byte(want)}}
			}
		})
		if got := c.connect.Properties.User; len(got) != 1 || string(got[0].Key) != "headgate-gateway" || string(got[0].Value) != "gw" {
			t.Errorf("CONNECT has the user properties %q", got)
		}
		if got := <-peers; got != want {
			t.Errorf("the upstream is %q, want %q", got, want)
		}
		c.net.Close()
	}
}
