package broker_test

import (
	"net"
	"strings"
	"testing"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
	"headgate/broker/packet"
)

func TestAReloadBeginsAndEndsListenersAndKeepsTheConnectionsOfOthers(t *testing.T) {
	t.Parallel()
	var cfg broker.Config
	s := brokertest.Start(t, func(c *broker.Config) { cfg = *c })
	stays, _ := brokertest.Connect(t, s.Addr, packet.V5, "stays")
	stays.SubscribeTo("#", 1)
	cfg.SetDefaults()
	first := cfg.Listener
	another := listen.Config{URL: "mqtt://127.0.0.1:0", Anonymous: true}
	another.SetDefaults()
	reload := func(l ...listen.Config) error {
		cfg.Listener = l
		return s.Broker.Reload(cfg)
	}
	if err := reload(append([]listen.Config{another}, first...)...); err != nil {
		t.Fatal(err)
	}
	addresses := s.Broker.Addresses()
	if len(addresses) != 2 || addresses[0] == "" || addresses[1] != s.Addr {
		t.Fatalf("listening on %q, and before on %q", addresses, s.Addr)
	}
	goes, _ := brokertest.Connect(t, addresses[0], packet.V5, "goes")
	goes.Publish("t", "1", 1)
	stays.Want("t", "1", 1)

	faulty := listen.Config{URL: "mqtts://127.0.0.1:0", CertFile: "none.pem", KeyFile: "none.pem"}
	faulty.SetDefaults()
	if err := reload(append([]listen.Config{faulty, another}, first...)...); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("a listener whose certificate is not there: got %v", err)
	}
	goes.Publish("t", "2", 1)
	stays.Want("t", "2", 1)

	if err := reload(first...); err != nil {
		t.Fatal(err)
	}
	if r := goes.Closed(); r != packet.ServerShuttingDown {
		t.Errorf("a client of a listener that is gone is disconnected with %v", r)
	}
	if nc, err := net.Dial("tcp", addresses[0]); err == nil {
		nc.Close()
		t.Error("a listener that is gone still listens")
	}
	last, _ := brokertest.Connect(t, s.Addr, packet.V5, "last")
	last.Publish("t", "3", 1)
	stays.Want("t", "3", 1)
}
