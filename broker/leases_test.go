package broker_test

import (
	"fmt"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// one makes a CONNECT ask for a Receive Maximum of 1.
func one(p *packet.Connect) {
	p.Properties.ReceiveMaximum = 1
	p.Properties.Set(packet.PropReceiveMaximum)
}

func TestAMemberWithoutRoomLetsTheNextOneHaveTheMessage(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{})
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	quick, _ := brokertest.Connect(t, s.Addr, packet.V5, "quick", brokertest.Persistent)
	share(quick, "$share/g/a", 1)
	slow, _ := brokertest.Connect(t, s.Addr, packet.V5, "slow", brokertest.Persistent, one)
	share(slow, "$share/g/a", 1)
	pub.Publish("a", "first", 1)
	slow.Receive() // it is the first one's turn, and it never acknowledges
	// The others, without a word from the quick one that could remind anybody.
	for i := range 10 {
		pub.Publish("a", fmt.Sprint(i), 1)
	}
	for i := range 10 {
		quick.Want("a", fmt.Sprint(i), 1)
	}
}

func TestWhatALeavingMemberHadNotAcknowledgedGoesToAnotherAtOnce(t *testing.T) {
	for _, persistent := range []bool{false, true} {
		s := brokertest.StartInMemory(t, store.Config{})
		change := func(*packet.Connect) {}
		if persistent {
			change = brokertest.Persistent
		}
		pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
		first, _ := brokertest.Connect(t, s.Addr, packet.V5, "first", change)
		share(first, "$share/g/a", 1)
		// The group is a queue in both cases.
		second, _ := brokertest.Connect(t, s.Addr, packet.V5, "second", brokertest.Persistent, one)
		share(second, "$share/g/a", 1)
		pub.Publish("a", "x", 1)
		pub.Publish("a", "y", 1)
		p, q := first.Receive(), second.Receive()
		first.Unsubscribe("$share/g/a")
		second.SendAck(packet.PUBACK, q.PacketID)
		second.Silent() // the first one may still acknowledge its own
		first.Close()
		second.Want("a", string(p.Payload), 1)
	}
}
