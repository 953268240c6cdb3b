package broker_test

import (
	"fmt"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

func asBridge(p *packet.Connect) { p.Bridge = true }

func TestABridgeOf3HasNoEchoAndKnowsWhatIsRetained(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311} {
		t.Run(v.String(), func(t *testing.T) {
			s := brokertest.Start(t)
			bridge, _ := brokertest.Connect(t, s.Addr, v, "bridge", asBridge)
			bridge.SubscribeTo("a/#", 1)
			bridge.Publish("a/up", "1", 1)
			bridge.Silent()
			c, _ := brokertest.Connect(t, s.Addr, v, "c")
			c.Publish("a/down", "2", 1, brokertest.Retained)
			if p := bridge.Want("a/down", "2", 1); !p.Retain {
				t.Error("a retained message came without the RETAIN flag")
			}
		})
	}
}

func TestABridgeOf3HasNoMoreOnItsWayThanMosquittoTakes(t *testing.T) {
	s := brokertest.Start(t)
	bridge, _ := brokertest.Connect(t, s.Addr, packet.V311, "bridge", asBridge, brokertest.Persistent)
	bridge.SubscribeTo("a", 2)
	c, _ := brokertest.Connect(t, s.Addr, packet.V311, "c")
	for i := range 30 {
		c.Publish("a", fmt.Sprint(i), 2)
	}
	for i := range 20 {
		if p := bridge.Receive(); string(p.Payload) != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", p.Payload, i)
		}
	}
	bridge.Silent()
}
