package rule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker/topic"
)

// fakeBroker is a Client that keeps what is published.
type fakeBroker struct {
	mu      sync.Mutex
	out     []string
	filters []string
	handle  func(Message)
	refuse  error
}

func (b *fakeBroker) Publish(m Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return b.refuse
	}
	line := fmt.Sprintf("%s %s q%d", m.Topic, m.Payload, m.QoS)
	if m.Retain {
		line += " retained"
	}
	b.out = append(b.out, line)
	return nil
}

func (b *fakeBroker) SubscribeAll(filters []string, handle func(Message)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return b.refuse
	}
	b.filters, b.handle = filters, handle
	return nil
}

// say is what a client does: what matches some filter is handled once.
func (b *fakeBroker) say(name, payload string) {
	if slices.ContainsFunc(b.filters, func(filter string) bool { return topic.Match(filter, name) }) {
		b.handle(Message{Topic: name, Payload: []byte(payload), QoS: 1})
	}
}

type bench struct {
	t *testing.T
	*fakeBroker
	*Rules
}

// start runs rules in a synctest bubble.
func start(t *testing.T, tables ...Config) *bench {
	t.Helper()
	for i := range tables {
		tables[i].SetDefaults()
		tables[i].Check(func(key, format string, args ...any) { t.Errorf("%s: %s", key, fmt.Sprintf(format, args...)) })
	}
	b := &bench{t: t, fakeBroker: &fakeBroker{}}
	var err error
	if b.Rules, err = New(tables, b.fakeBroker, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return b
}

func (b *bench) want(lines ...string) {
	b.t.Helper()
	synctest.Wait()
	b.fakeBroker.mu.Lock()
	defer b.fakeBroker.mu.Unlock()
	if got, want := strings.Join(b.out, "\n"), strings.Join(lines, "\n"); got != want {
		b.t.Errorf("published:\n%s\nwant:\n%s", got, want)
	}
	b.out = nil
}

func TestARuleRewritesFiltersAndExtracts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t,
			Config{Name: "power", From: "zigbee2mqtt/+", To: "plant/{1}/power", When: "payload.power > 10", Payload: "{value: payload.power, unit: 'W'}"},
			Config{Name: "copy", From: "zigbee2mqtt/#", To: "copy/{1}", QoS: new(int), Retain: new(true)},
			Config{Name: "state", From: "zigbee2mqtt/+", To: "state", Payload: "levels[1] + '=' + payload.state"},
		)
		b.say("zigbee2mqtt/plug1", `{"power":12.5,"state":"ON"}`)
		b.want(`plant/plug1/power {"unit":"W","value":12.5} q1`, `copy/plug1 {"power":12.5,"state":"ON"} q0 retained`, `state plug1=ON q1`)
		b.say("zigbee2mqtt/plug1", `{"power":5}`)
		b.want(`copy/plug1 {"power":5} q0 retained`)
		b.say("zigbee2mqtt/a/b", "not JSON")
		b.want(`copy/a/b not JSON q0 retained`)
		rules, _ := b.Stats()
		if p := rules[0]; p.Taken != 2 || p.Published != 1 || p.Filtered != 1 || p.Failed != 0 {
			t.Errorf("got %+v", p)
		}
		if s := rules[2]; s.Failed != 1 || s.Error != `payload: payload has no "state"` {
			t.Errorf("got %+v", s)
		}
	})
}

func TestAThrottleKeepsTheFirstOrTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t,
			Config{Name: "last", From: "in/+", To: "last/{1}", Throttle: 10 * time.Second},
			Config{Name: "first", From: "in/+", To: "first/{1}", Throttle: 10 * time.Second, Keep: "first"},
		)
		for i := range 3 {
			b.say("in/a", fmt.Sprint(i))
		}
		b.say("in/b", "x")
		b.want("last/a 0 q1", "first/a 0 q1", "last/b x q1", "first/b x q1")
		time.Sleep(10 * time.Second)
		b.want("last/a 2 q1")
		b.say("in/a", "3")
		b.want("first/a 3 q1")
		time.Sleep(10 * time.Second)
		b.want("last/a 3 q1")
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, r := range *b.rules.Load() {
			if len(r.resting) != 0 || r.bytes != 0 {
				t.Errorf("%s remembers %d topics, %d bytes", r.Name, len(r.resting), r.bytes)
			}
		}
	})
}

func TestWhatAThrottleRemembersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{Name: "many", From: "in/+", To: "out/{1}", Throttle: time.Hour})
		for i := range 10000 {
			b.say(fmt.Sprintf("in/%d", i), "x")
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		rules, _ := b.Stats()
		if (*b.rules.Load())[0].bytes > maxResting || rules[0].Failed == 0 || rules[0].Failed+rules[0].Published != 10000 {
			t.Errorf("got %d bytes, %+v", (*b.rules.Load())[0].bytes, rules[0])
		}
	})
}

func TestMessagesThatComeTooFastAreLeftOutAndCounted(t *testing.T) {
	b := &fakeBroker{}
	r, err := New([]Config{{Name: "a", From: "#", To: "b"}}, b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // it does not run
		r.hear(Message{Topic: "in", Payload: make([]byte, 100<<10)})
	}
	if _, dropped := r.Stats(); dropped == 0 || r.bytes > maxWaiting || int(dropped)+len(r.waiting) != 100 {
		t.Errorf("got %d dropped, %d waiting, %d bytes", dropped, len(r.waiting), r.bytes)
	}
}

func TestARuleSaysWhyItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{Name: "a", From: "in/#", To: "{1}"})
		b.say("in", "1") // nothing stands for the #
		synctest.Wait()
		if rules, _ := b.Stats(); !strings.Contains(rules[0].Error, "the topic \"\"") || !rules[0].Useless() || rules[0].Since.IsZero() {
			t.Errorf("got %+v", rules[0])
		}
		b.say("in/$SYS/x", "1")
		synctest.Wait()
		if rules, _ := b.Stats(); !strings.Contains(rules[0].Error, "begins with $") {
			t.Errorf("got %+v", rules[0])
		}
		b.fakeBroker.mu.Lock()
		b.refuse = errors.New("the store is full")
		b.fakeBroker.mu.Unlock()
		b.say("in/x", "1")
		synctest.Wait()
		if rules, _ := b.Stats(); rules[0].Error != "the store is full" || rules[0].Failed != 3 {
			t.Errorf("got %+v", rules[0])
		}
	})
}

func TestWhatARuleMakesOfAPayloadIsBounded(t *testing.T) {
	c := Config{Name: "a", From: "in", To: "out", Keep: "last", Payload: "[" + strings.Repeat("payload, ", 400) + "1]"}
	r, err := New([]Config{c}, &fakeBroker{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	one := (*r.rules.Load())[0]
	for payload, want := range map[string]string{
		`"` + strings.Repeat("x", 1000) + `"`:       "",
		`"` + strings.Repeat("x", 10_000) + `"`:     "payload: what comes of it is longer than 1 MB",
		"[" + strings.Repeat("{},", 800) + "{}]":    "",
		"[" + strings.Repeat("[1],", 3000) + "[1]]": "payload: what comes of it is longer than 1 MB",
		`{"` + strings.Repeat("x", 10_000) + `":1}`: "payload: what comes of it is longer than 1 MB",
		`"` + strings.Repeat(`\u0001`, 1000) + `"`:  "payload: what comes of it is longer than 1 MB",
	} {
		out, _, err := one.make(Message{Topic: "in", Payload: []byte(payload)})
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want || len(out.Payload) > maxPayload && err == nil {
			t.Errorf("%.20s...: got %d bytes, %v", payload, len(out.Payload), err)
		}
	}
}

func TestFaultsOfARule(t *testing.T) {
	for want, c := range map[string]Config{
		"name: is missing":                    {From: "a", To: "b"},
		"from: is missing":                    {Name: "r", To: "b"},
		"to: is missing":                      {Name: "r", From: "a"},
		`from: "a/#/b": `:                     {Name: "r", From: "a/#/b", To: "b"},
		`from: "$share/g/a": `:                {Name: "r", From: "$share/g/a", To: "b"},
		`to: "b/{1}": {1}: from has 0`:        {Name: "r", From: "a", To: "b/{1}"},
		`to: "b/{x}": {x}: want`:              {Name: "r", From: "a", To: "b/{x}"},
		`to: "b/+": `:                         {Name: "r", From: "a", To: "b/+"},
		`to: "$SYS/x": what begins`:           {Name: "r", From: "a", To: "$SYS/x"},
		`when: there is no "value" here`:      {Name: "r", From: "a", To: "b", When: "value > 1"},
		`when: is a number`:                   {Name: "r", From: "a", To: "b", When: "payload.x + 1"},
		`when: topic is a text`:               {Name: "r", From: "a", To: "b", When: "topic * 2"},
		`payload: integrate() remembers`:      {Name: "r", From: "a", To: "b", Payload: "integrate(payload, '1h')"},
		"throttle: -1s: want":                 {Name: "r", From: "a", To: "b", Throttle: -time.Second},
		`keep: "all": want "first" or "last"`: {Name: "r", From: "a", To: "b", Keep: "all"},
		"qos: 3: want":                        {Name: "r", From: "a", To: "b", QoS: new(3)},
	} {
		c.SetDefaults()
		var got []string
		c.Check(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestARuleThatWouldTakeItsOwnIsKnown(t *testing.T) {
	for to, want := range map[string]bool{"a/{1}": true, "b/{1}": false, "{topic}": true, "a/b/c": false} {
		c := Config{From: "a/+", To: to}
		if got := c.TakesItsOwn(); got != want {
			t.Errorf("%s: got %v", to, got)
		}
	}
}

func TestRulesBeginAndEndWhileTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steady := Config{Name: "steady", From: "in/+", To: "steady/{1}", Throttle: 10 * time.Second, Keep: "last"}
		gone := Config{Name: "gone", From: "old/#", To: "gone", Keep: "last"}
		b := start(t, gone, steady)
		reload := func(tables ...Config) error {
			t.Helper()
			synctest.Wait()
			return b.Reload(tables)
		}
		b.say("in/a", "1")
		b.say("in/a", "2") // rests
		b.say("old/x", "1")
		b.want("steady/a 1 q1", "gone 1 q1")
		added := Config{Name: "added", From: "new/+", To: "added/{1}", When: "payload > 1", Keep: "last"}
		if err := reload(steady, added); err != nil {
			t.Fatal(err)
		}
		b.say("old/x", "2")
		b.say("new/x", "1")
		b.say("new/x", "2")
		b.want("added/x 2 q1")
		time.Sleep(10 * time.Second)
		b.want("steady/a 2 q1")
		rules, _ := b.Stats()
		if len(rules) != 2 || rules[0].Published != 2 || rules[1].Filtered != 1 || rules[1].Published != 1 {
			t.Errorf("got %+v", rules)
		}
		// One that is another begins anew; what cannot be leaves all as they are.
		added.To = "moved/{1}"
		b.refuse = errors.New("no room")
		if err := reload(added); err == nil {
			t.Error("what the broker refuses is taken")
		}
		b.refuse = nil
		b.say("new/x", "3")
		b.want("added/x 3 q1")
		if err := reload(added); err != nil {
			t.Fatal(err)
		}
		b.say("new/x", "4")
		b.say("in/a", "4")
		b.want("moved/x 4 q1")
		if rules, _ := b.Stats(); len(rules) != 1 || rules[0].Published != 1 {
			t.Errorf("got %+v", rules)
		}
		if err := reload(); err != nil {
			t.Fatal(err)
		}
		b.say("new/x", "5")
		b.want()
	})
}
