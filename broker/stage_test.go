package broker_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"headgate/broker"
	"headgate/broker/packet"
)

// The topics of both are the same bytes: those that the alias stands for.
func TestMessagesUnderOneAliasThatWaitForTheWindowAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, connect := bubble(t, func(c *broker.Config) { c.MaxInflight = 1 })
		sub := connect("sub", packet.V311)
		sub.SubscribeTo("t", 1)
		pub := connect("pub", packet.V5)
		var b []byte
		for i := range 4 {
			p := packet.Publish{Topic: []byte("t"), QoS: 1, PacketID: uint16(i + 1), Payload: fmt.Append(nil, i)}
			if i > 0 {
				p.Topic = nil
			}
			p.Properties.TopicAlias = 1
			p.Properties.Set(packet.PropTopicAlias)
			b = p.Append(b, packet.V5)
		}
		go pub.Send(b)
		for i := range 4 {
			sub.Want("t", fmt.Sprint(i), 1)
		}
	})
}
