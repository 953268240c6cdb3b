package broker_test

import (
	"strings"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

func TestClientsAreListedThoseThatAreConnectedFirst(t *testing.T) {
	s := brokertest.Start(t)
	away, _ := brokertest.Connect(t, s.Addr, packet.V311, "away", brokertest.Persistent)
	away.SubscribeTo("v/#", 1)
	away.Disconnect()
	there, _ := brokertest.Connect(t, s.Addr, packet.V5, "there")
	there.SubscribeTo("w/+", 0)
	there.Publish("v/1", "kept", 1)

	list, total := s.Broker.Clients(10)
	if total != 2 || len(list) != 2 {
		t.Fatalf("got %d of %d: %+v", len(list), total, list)
	}
	c := list[0]
	if c.ClientID != "there" || !c.Connected || c.Protocol != "5.0" || !strings.HasPrefix(c.Remote, "127.0.0.1:") || c.Persistent || len(c.Filters) != 1 || c.Filters[0] != "w/+" || c.Since == nil || time.Since(*c.Since) > time.Minute {
		t.Errorf("got %+v", c)
	}
	if a := list[1]; a.ClientID != "away" || a.Connected || a.Since != nil || !a.Persistent || a.Queued != 1 || a.QueuedBytes == 0 || a.Subscriptions != 1 {
		t.Errorf("got %+v", a)
	}
	if list, total = s.Broker.Clients(1); len(list) != 1 || total != 2 {
		t.Errorf("with a limit of 1 got %d of %d", len(list), total)
	}
}

func TestAnOperatorDisconnectsAClient(t *testing.T) {
	s := brokertest.Start(t)
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
	if err := s.Broker.Disconnect("c"); err != nil {
		t.Fatal(err)
	}
	if reason := c.Closed(); reason != packet.AdministrativeAction {
		t.Errorf("got reason %v", reason)
	}
	if err := s.Broker.Disconnect("nobody"); err == nil {
		t.Error("who is not there was disconnected")
	}
}

func TestRetainedMessagesAreGivenByFilter(t *testing.T) {
	s := brokertest.Start(t)
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
	for _, name := range []string{"a/1", "a/2", "b"} {
		c.Publish(name, "x", 1, brokertest.Retained)
	}
	got := map[string]string{}
	s.Broker.Retained("a/#", func(m broker.Message) { got[m.Topic] = string(m.Payload) })
	if len(got) != 2 || got["a/1"] != "x" || got["a/2"] != "x" {
		t.Errorf("got %v", got)
	}
}
