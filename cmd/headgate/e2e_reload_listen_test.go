package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"headgate/broker"
	"headgate/gateway"
)

// A change of [gateway] makes another pump: whoever has waited for the reload may send
// commands to that at once.
func TestACommandBehindAReloadIsHeard(t *testing.T) {
	t.Parallel()
	base := strings.ReplaceAll(bridgesConfig, "{DIR}", t.TempDir())
	h := runInside(t, base)
	r := h.newReloader(h.config.Paths[0])
	var results inbox
	if err := h.broker.NewClient("watch").Subscribe("plant/none/v/set/result", func(m broker.Message) {
		results.add(received{topic: m.Topic, payload: string(m.Payload)})
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		text := strings.Replace(base, "[gateway]", fmt.Sprintf("[gateway]\nmax_age = \"%ds\"", 10+i), 1)
		if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if res, err := r.reload(); err != nil || !res.Links {
			t.Fatalf("got %+v, %v", res, err)
		}
		if err := h.operator.Publish(broker.Message{Topic: "plant/none/v/set", Payload: fmt.Appendf(nil, `{"value":1,"id":%d}`, i), QoS: 1}); err != nil {
			t.Fatal(err)
		}
		results.wait(t, "plant/none/v/set/result", func(m received) bool { return m.fields(t)["id"] == float64(i) })
	}
}

// A reload does not wait for ever for a link that does not end, or a pump that does not
// begin.
func TestAReloadGivesUpOnAPumpThatIsStuck(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{ID: "plant"}
	cfg.SetDefaults()
	g, err := gateway.New(cfg, nil, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	late := make(chan time.Time)
	close(late)
	h := &house{pumps: newFieldPumps()}
	r := replacement{&fieldPump{gateway: g}, make(chan error, 1)}
	if err := h.replaced(r, late); err != errStuck {
		t.Errorf("the one before does not end: %v", err)
	}
	r.done <- nil
	if err := h.replaced(r, late); err != errStuck {
		t.Errorf("the new one does not begin: %v", err)
	}
}

// What a restart alone changes is named by its keys, and changes nothing before: a bridge
// does not take another client identifier, which follows from the gateway's, for its own.
func TestAReloadOfWhatNeedsARestartChangesNothing(t *testing.T) {
	t.Parallel()
	base := strings.ReplaceAll(bridgesConfig, "{DIR}", t.TempDir()) + bridgeTo("cloud", "127.0.0.1:1", "#", "")
	h := runInside(t, base)
	r := h.newReloader(h.config.Paths[0])
	text := strings.Replace(base, `id = "plant"`, "id = \"works\"\ntopic = \"{device}/{point}\"", 1) + "[store]\nring_bytes = \"5MB\"\ncompression = \"zstd\"\n"
	if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	before := h.bridges()[0]
	res, err := r.reload()
	if err != nil || res.Bridges || res.Links || h.bridges()[0] != before {
		t.Errorf("got %+v, %v", res, err)
	}
	if want := "only after a restart: gateway.id, gateway.topic, store.ring_bytes, store.compression."; !strings.Contains(res.String(), want) {
		t.Errorf("it says %q, want %q", res, want)
	}
}
