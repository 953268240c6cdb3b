package broker_test

import (
	"strings"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// sysTopics subscribes to all of $SYS and gives what is retained there.
func sysTopics(t *testing.T, s *brokertest.Server) map[string]string {
	t.Helper()
	c, _ := brokertest.Connect(t, s.Addr, packet.V311, "sys")
	c.SubscribeTo("end", 0)
	got := make(map[string]string)
	for got["$SYS/broker/load/sockets/15min"] == "" { // the last that it says
		c.SubscribeTo("$SYS/#", 0)
		c.Publish("end", "", 0)
		for p := c.Receive(); string(p.Topic) != "end"; p = c.Receive() {
			got[string(p.Topic)] = string(p.Payload)
		}
	}
	return got
}

func TestTheBrokersFiguresStandUnderSYSWithMosquittosNames(t *testing.T) {
	s := brokertest.Start(t)
	got := sysTopics(t, s)
	for _, name := range []string{"version", "uptime", "clients/connected", "clients/total", "clients/maximum", "clients/disconnected",
		"messages/received", "messages/sent", "messages/stored", "publish/messages/received", "publish/messages/sent", "publish/messages/dropped",
		"publish/bytes/received", "publish/bytes/sent", "bytes/received", "bytes/sent", "store/messages/count", "store/messages/bytes",
		"retained messages/count", "subscriptions/count", "shared_subscriptions/count",
		"store/disk/used", "store/disk/limit", "store/disk/free", "store/commits/p50", "store/commits/p99", "store/today/payload", "store/today/disk",
		"store/card/life", "store/alarms",
		"load/messages/received/1min", "load/publish/sent/5min", "load/bytes/received/15min"} {
		if got["$SYS/broker/"+name] == "" {
			t.Errorf("$SYS/broker/%s is missing", name)
		}
	}
	if v := got["$SYS/broker/version"]; !strings.HasPrefix(v, "headgate") {
		t.Errorf("version %q", v)
	}
	// They are the server's own, and not on disk.
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
	p := packet.Publish{Topic: []byte("$SYS/broker/version"), QoS: 1, PacketID: 9, Retain: true, Payload: []byte("mine")}
	c.Send(p.Append(nil, packet.V5))
	if r := c.WantAck(packet.PUBACK, 9); r != packet.NotAuthorized {
		t.Errorf("a client publishes to $SYS: %v", r)
	}
	s.Stop()
	s.Reopen()
	err := s.Store.State("", func(key string, _ []byte) error {
		if strings.Contains(key, "$SYS") {
			t.Errorf("%q is on disk", key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheFiguresCountWhatPasses(t *testing.T) {
	s := brokertest.Start(t)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub", brokertest.Persistent)
	sub.SubscribeTo("a", 1)
	sub.Subscribe(packet.Subscription{Filter: []byte("$share/g/b")})
	pub, _ := brokertest.Connect(t, s.Addr, packet.V311, "pub")
	pub.Publish("a", "12345", 1)
	sub.Want("a", "12345", 1)
	sub.Disconnect()
	pub.Publish("a", "678", 1)
	pub.Silent()
	st := s.Broker.Stats()
	got := []int64{st.MessagesIn, st.PayloadIn, st.MessagesOut, st.PayloadOut, st.PacketsIn, st.PacketsOut, st.Subscriptions, st.SharedSubscriptions, st.Queued, st.MaxConnections}
	// In: 2 CONNECT, 2 SUBSCRIBE, 2 PUBLISH, PUBACK, DISCONNECT, PINGREQ. Out:
	// 2 CONNACK, 2 SUBACK, 2 PUBACK, PUBLISH, PINGRESP.
	want := []int64{2, 8, 1, 5, 9, 8, 2, 1, 1, 2}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if st.BytesIn == 0 || st.BytesOut == 0 {
		t.Error("no bytes are counted")
	}
}
