package main

import (
	"testing"

	"headgate/broker/brokertest"
)

func TestTheStateOfABridgeStandsWhereMosquittoHasIt(t *testing.T) {
	t.Parallel()
	cloud := brokertest.Start(t)
	h := runHeadgate(t, `
[gateway]
id = "plant"
data_dir = "`+t.TempDir()+`"
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
[[bridge]]
name = "cloud"
url = "mqtt://`+cloud.Addr+`"
max_backoff = "100ms"
up = [ { filter = "#" } ]
`)
	const topic = "$SYS/broker/connection/cloud/state"
	state := func(want string) func(received) bool {
		return func(m received) bool { return m.payload == want }
	}
	watcher := dial(t, h.addr(), "watcher")
	watcher.subscribe("$SYS/broker/connection/#", 1)
	watcher.wait(t, topic, state("1"))
	cloud.Stop()
	watcher.wait(t, topic, state("0"))
	late := dial(t, h.addr(), "late")
	late.subscribe(topic, 1)
	late.wait(t, topic, func(m received) bool { return m.payload == "0" && m.retain })
}
