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

func TestAReloadPutsTheLimitsOfTheStoreIntoForce(t *testing.T) {
	t.Parallel()
	base := strings.ReplaceAll(bridgesConfig, "{DIR}", t.TempDir())
	h := runInside(t, base)
	r := h.newReloader(h.config.Paths[0])
	for _, c := range []struct{ limit, restart string }{{"2GB", "[]"}, {"100MB", "[store.max_bytes]"}} {
		text := base + "[store]\nmax_bytes = \"" + c.limit + "\"\nat_limit = \"drop_oldest\"\ncard_endurance = \"30TB\"\ndaily_write_budget = \"500MB\"\n"
		if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if res, err := r.reload(); err != nil || fmt.Sprint(res.Restart) != c.restart {
			t.Errorf("%s: got %+v, %v", c.limit, res, err)
		}
		s := h.status().Store
		if s.Limit != 2e9 || s.Today.Endurance == nil || *s.Today.Endurance != 30e12 || s.Today.Budget == nil || *s.Today.Budget != 500e6 {
			t.Errorf("%s: the status has %+v", c.limit, s)
		}
		if _, text := r.running(); !strings.Contains(text, `max_bytes = "2GB"`) || !strings.Contains(text, `at_limit = "drop_oldest"`) {
			t.Errorf("%s: what runs is shown as\n%s", c.limit, text)
		}
	}
}
