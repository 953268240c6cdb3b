package broker_test

import (
	"testing"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// Who subscribes in the very moment in which a message is retained gets it as it comes,
// or as what is retained: never neither. [MQTT-3.3.1-9]
func TestASubscriberThatComesWithARetainedMessageHasIt(t *testing.T) {
	t.Parallel()
	s := brokertest.Start(t)
	field, slow := s.Broker.NewClient("field"), s.Broker.NewClient("slow")
	defer field.Close()
	defer slow.Close()
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
	// It is known already who gets the message when the other one comes.
	err := slow.Subscribe("a", func(broker.Message) { c.SubscribeTo("a", 1) })
	if err != nil {
		t.Fatal(err)
	}
	if err := field.Publish(broker.Message{Topic: "a", Payload: []byte("x"), QoS: 1, Retain: true}); err != nil {
		t.Fatal(err)
	}
	if p := c.Want("a", "x", 1); !p.Retain {
		t.Error("it is not said to be retained")
	}
}
