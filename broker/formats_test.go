package broker_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/store"
)

// What an earlier version wrote is read. Its expiries are by the wall clock.
func TestStateOfTheEarlierFormatsIsRead(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.setWall(0, true)
		now := time.Now().UnixMilli()
		session := func(format byte, gone int64) []byte {
			b := []byte{format, 0, 0, 0x0E, 0x10} // 3600 s
			for shift := 56; shift >= 0; shift -= 8 {
				b = append(b, byte(gone>>shift))
			}
			b = append(b, 0, 0, 0, 0, 0, 0, 0, 9)
			if format == 2 {
				b = append(b, "user"...)
			}
			return b
		}
		message := func(topic string, expires int64) []byte {
			b := []byte{1, 0b101}
			for v := uint64(expires); ; v >>= 7 {
				if v < 0x80 {
					b = append(b, byte(v))
					break
				}
				b = append(b, byte(v)|0x80)
			}
			b = append(append(b, byte(len(topic))), topic...)
			return append(b, 0, 'o', 'l', 'd')
		}
		ms := func(d time.Duration) int64 { return now + d.Milliseconds() }
		q, err := g.store.Queue("$bridge/cloud")
		if err != nil {
			t.Fatal(err)
		}
		queued := func(expires int64) store.Record {
			return store.Record{Kind: store.Message, Refs: []store.Ref{{Queue: q.ID(), Meta: []byte{1}}}, Data: message("v/1", expires)}
		}
		g.stop()
		g.put(
			store.Record{Kind: store.Put, Key: "session/first", Data: session(1, ms(-30*time.Minute))},
			store.Record{Kind: store.Put, Key: "session/second", Data: session(2, ms(-30*time.Minute))},
			store.Record{Kind: store.Put, Key: "session/over", Data: session(2, ms(-2*time.Hour))},
			store.Record{Kind: store.Put, Key: "session/there", Data: session(2, 0)},
			store.Record{Kind: store.Put, Key: "retained/a", Data: message("a", ms(time.Hour))},
			store.Record{Kind: store.Put, Key: "retained/b", Data: message("b", 0)},
			store.Record{Kind: store.Put, Key: "retained/c", Data: message("c", ms(-time.Second))},
			queued(ms(-time.Second)), queued(ms(time.Hour)),
		)
		g.start()
		g.want("old", 3600)
		time.Sleep(2 * time.Second)
		g.there("at the start", 3, 2)
		time.Sleep(30 * time.Minute)
		g.there("half an hour later", 1, 2)
		time.Sleep(30*time.Minute + 11*time.Second)
		g.there("an hour later", 0, 1)
	})
}

// What stands on disk: a change of these bytes is a new format, and this one
// must still be read.
func TestTheFormatsOfSessionsAndMessagesAreAsTheyWere(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.setWall(0, true)
		g.restart()
		time.Sleep(time.Second)
		g.leave("left", 3600)
		_, nc := g.connect("there", 3600)
		l := g.dial(connectAs("will", true, 0, 600, "gone"))
		g.publish(60, "x")
		if err := g.client.Publish(broker.Message{Topic: "w", Payload: []byte("y"), QoS: 1, Retain: true}); err != nil {
			t.Fatal(err)
		}
		g.put() // it ends with the window of what was published
		want := map[string]string{
			"session/left":  "030300000e10000000000000000011818040d0c9b703d0bffdac8d37",
			"session/there": "030000000e100000000000000000",
			"retained/v/1":  "020d11818040d0c9b703d0bffdac8d373c03762f310078",
			"retained/w":    "020501770079",
			"will/will":     "0100000002580000000000020106762f77696c6c00676f6e65",
			"format":        "01",
		}
		for key, bytes := range want {
			found := false
			if err := g.store.State(key, func(_ string, value []byte) error {
				found = true
				if got := hex.EncodeToString(value); got != bytes {
					t.Errorf("%s: got %s, want %s", key, got, bytes)
				}
				return nil
			}); err != nil || !found {
				t.Errorf("%s: found %v, %v", key, found, err)
			}
		}
		nc.Close()
		l.close()
	})
}

func TestDataOfANewerFormatAreRefused(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.stop()
		g.put(store.Record{Kind: store.Put, Key: "format", Data: []byte{77}})
		cfg := broker.Config{Clock: &g.machine}
		cfg.SetDefaults()
		_, err := broker.New(cfg, g.store, g.logger())
		for _, want := range []string{"77", "format 1 ", "install", "data_dir"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want it to say %q", err, want)
			}
		}
	})
}
