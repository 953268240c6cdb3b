package main

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"testing"

	"headgate/bridge/faultnet"
	"headgate/broker"
	"headgate/cmd/headgate/config"
)

// runInside runs the gateway inside the test, so that its parts can be looked
// at, until the test ends.
func runInside(t testing.TB, text string) *house {
	t.Helper()
	file, err := config.Load(writeConfig(t, text))
	if err != nil {
		t.Fatal(err)
	}
	h, err := build(file, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the gateway ended: %v", err)
		}
	})
	return h
}

func TestABacklogGrowsWhileTheUplinkIsCutAndDrainsInOrder(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	cloud := p.inCloud("watcher")
	link, err := faultnet.Listen("127.0.0.1:0", p.cloud.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	h := runInside(t, p.config(link.Addr()))
	backlog := func() int64 {
		return h.bridges()[0].Stats().Backlog.Messages
	}
	var local inbox // what a subscriber at the gateway gets
	if err := h.broker.NewClient("local").Subscribe("plant/#", func(m broker.Message) {
		local.add(received{topic: m.Topic, payload: string(m.Payload)})
	}); err != nil {
		t.Fatal(err)
	}
	cloud.wait(t, "plant/meter/voltage", nil)
	eventually(t, "the backlog is empty", func() bool { return backlog() == 0 })

	for _, trouble := range []struct{ begin, end func() }{
		{link.Cut, func() {
			if err := link.Mend(); err != nil {
				t.Fatal(err)
			}
		}},
		{link.Freeze, link.Thaw},
	} {
		trouble.begin()
		before := len(local.all())
		// The field goes on: devices are read, local subscribers and commands served.
		for n := range 20 {
			value := strconv.Itoa(before + n)
			p.inverter.SetHolding(200, uint16(before+n))
			local.wait(t, "plant/inverter/limit", func(m received) bool { return hasAll(m.payload, []string{`"value":` + value + ","}) })
		}
		eventually(t, "the backlog grows", func() bool { return backlog() >= 100 })
		trouble.end()
		eventually(t, "the backlog drains", func() bool { return backlog() < 20 })
	}

	// Everything is there, in the order in which it was published; QoS 1 may bring
	// again what was on its way when the uplink was cut.
	published := local.all()
	for _, topic := range []string{"plant/inverter/limit", "plant/meter/voltage", "plant/scale/weight"} {
		want := onTopic(published, topic)
		var got []string
		eventually(t, "all of "+topic+" is in the cloud", func() bool {
			got = cloud.on(topic)
			return slices.Contains(got, want[len(want)-1])
		})
		missing, repeated := follow(got, want)
		if len(missing) > 0 {
			t.Errorf("%s: of %d, %d are missing in the cloud or not in order, the first %v", topic, len(want), len(missing), few(missing))
		}
		t.Logf("%s: %d published, %d of them came twice", topic, len(want), repeated)
	}
}

func onTopic(messages []received, topic string) []string {
	b := inbox{msgs: messages}
	return b.on(topic)
}

// follow goes through want and got side by side: what of want does not come in
// its turn, and how many of got have come before.
func follow(got, want []string) (missing []string, repeated int) {
	next := 0
	for _, w := range want {
		at := slices.Index(got[next:], w)
		if at < 0 {
			missing = append(missing, w)
			continue
		}
		repeated += at
		next += at + 1
	}
	return missing, repeated
}
