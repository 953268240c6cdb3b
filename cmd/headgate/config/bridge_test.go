package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/store"
)

func TestQuotasAreReadWhereverThereIsAQueue(t *testing.T) {
	file, faults := loadText(t, strings.NewReplacer(
		`url  = "mqtts://broker.example.com:8883"`, `url = "mqtts://broker.example.com:8883"
queue = { max_bytes = "500MB", max_messages = 100000, max_wait = "72h", at_limit = "drop_newest" }`,
		`[gateway]`, `[broker]
max_session_bytes = "unlimited"
max_session_messages = 1000
max_session_wait = "24h"
session_at_limit = "refuse"
[store]
at_limit = "drop_oldest"
[gateway]`,
	).Replace(plant))
	if faults != nil {
		t.Fatalf("got faults: %q", faults)
	}
	want := broker.QueueLimits{MaxBytes: 500e6, MaxMessages: 100_000, MaxWait: broker.Wait(72 * time.Hour), AtLimit: store.DropNewest}
	if got := file.Bridge[0].Queue; got != want {
		t.Errorf("the bridge's: got %+v, want %+v", got, want)
	}
	if l := file.Broker.Limits; l.MaxSessionBytes != store.Unlimited || l.MaxSessionMessages != 1000 || l.MaxSessionWait != broker.Wait(24*time.Hour) || l.SessionAtLimit != store.Refuse {
		t.Errorf("the sessions': got %+v", l)
	}
	if got := file.Store.AtLimit; got != store.DropOldest {
		t.Errorf("the store's: got %v", got)
	}
}

func TestAQuotaThatCannotBeIsAFault(t *testing.T) {
	_, faults := loadText(t, strings.NewReplacer(
		`url  = "mqtts://broker.example.com:8883"`, `url = "mqtts://broker.example.com:8883"
queue = { max_bytes = 0, max_wait = "5s", at_limit = "drop" }`,
		`[gateway]`, `[broker]
max_session_bytes = "1B"
max_session_messages = 0
[gateway]`,
	).Replace(plant))
	for _, want := range []string{
		`broker.max_session_bytes: 1B: want 1kB to 4TB, or "unlimited"`,
		`broker.max_session_messages: 0: want at least 1, or "unlimited"`,
		`bridge.queue.max_bytes: 0 is no size`,
		`bridge.queue.max_wait: 5s: want 1m or more, or "unlimited"`,
		`bridge.queue.at_limit: "drop": want "drop_oldest", "drop_newest" or "refuse"`,
	} {
		if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("no fault says %q: %q", want, faults)
		}
	}
}
