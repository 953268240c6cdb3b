package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"headgate/broker"
)

// loopGateway is one of two that bridge to each other.
type loopGateway struct {
	*house
	inbox inbox // what a local subscriber gets
}

func newLoopGateway(t *testing.T, id, port, upstream, bridge string) *loopGateway {
	t.Helper()
	g := &loopGateway{house: runInside(t, fmt.Sprintf(`
[gateway]
id = %q
data_dir = %q
[[broker.listener]]
url = "mqtt://127.0.0.1:%s"
[[bridge]]
name = "other"
url = "mqtt://127.0.0.1:%s"
max_backoff = "100ms"
%s
`, id, t.TempDir(), port, upstream, bridge))}
	if err := g.broker.NewClient("local").Subscribe("#", func(m broker.Message) {
		g.inbox.add(received{topic: m.Topic, payload: string(m.Payload)})
	}); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *loopGateway) count(payload string) (n int) {
	for _, m := range g.inbox.all() {
		if m.payload == payload {
			n++
		}
	}
	return n
}

// Everything goes both ways between two gateways, by the bridges of both: a
// message is at each of them as often as bridges bring it there, and then it is
// quiet.
func TestTwoGatewaysThatBridgeEverythingToEachOtherStayQuiet(t *testing.T) {
	t.Parallel()
	const up, down = `up = [ { filter = "#" } ]`, `down = [ { filter = "#" } ]`
	for _, test := range []struct {
		name, a, b    string
		there, there2 int // copies of what is published at a, and at b, at the other one
	}{
		{"both up", up, up, 1, 1},
		{"one up and down", up + "\n" + down, `up = [ { filter = "nothing" } ]`, 1, 1},
		{"one up and down, on 3.1.1", up + "\n" + down + "\nversion = \"3.1.1\"", `up = [ { filter = "nothing" } ]`, 1, 1},
		{"both up and down", up + "\n" + down, up + "\n" + down, 2, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			portA, err := freePort()
			if err != nil {
				t.Fatal(err)
			}
			portB, err := freePort()
			if err != nil {
				t.Fatal(err)
			}
			a := newLoopGateway(t, "a", portA, portB, test.a)
			b := newLoopGateway(t, "b", portB, portA, test.b)
			gateways := []*loopGateway{a, b}
			for _, g := range gateways {
				eventually(t, "connected", func() bool { return g.bridges()[0].Stats().State == "connected" })
			}
			// Each way is open when something has gone through it.
			for i, g := range gateways {
				other := gateways[1-i]
				probe := 0
				eventually(t, "the ways are open", func() bool {
					probe++
					payload := fmt.Sprintf("probe %d of %d", probe, i)
					g.publish(t, payload)
					time.Sleep(20 * time.Millisecond)
					return other.count(payload) >= []int{test.there, test.there2}[i]
				})
			}
			a.publish(t, "from a")
			b.publish(t, "from b")
			eventually(t, "all copies are there", func() bool { return b.count("from a") >= test.there && a.count("from b") >= test.there2 })
			eventually(t, "it is quiet", func() bool {
				before := []int{len(a.inbox.all()), len(b.inbox.all())}
				time.Sleep(300 * time.Millisecond)
				return slices.Equal(before, []int{len(a.inbox.all()), len(b.inbox.all())})
			})
			for _, c := range []struct {
				g       *loopGateway
				payload string
				want    int
			}{{a, "from a", 1}, {b, "from b", 1}, {b, "from a", test.there}, {a, "from b", test.there2}} {
				if n := c.g.count(c.payload); n != c.want {
					t.Errorf("%q is %d times at %s, want %d", c.payload, n, c.g.config.Gateway.ID, c.want)
				}
			}
		})
	}
}

func (g *loopGateway) publish(t *testing.T, payload string) {
	t.Helper()
	if err := g.operator.Publish(broker.Message{Topic: "site/value", Payload: []byte(payload), QoS: 1}); err != nil {
		t.Fatal(err)
	}
}
