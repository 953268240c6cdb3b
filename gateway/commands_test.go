package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/gateway/point"
)

const relaySet = "gw/meter1/relay/set"

// relays is an adapter with meter1, whose Write is write.
func relays(write func(context.Context, point.Command) (point.Value, error)) *fakeAdapter {
	return &fakeAdapter{name: "rs485", devices: meter(), write: write}
}

// echo reads back what was written.
func echo(_ context.Context, cmd point.Command) (point.Value, error) { return cmd.Value, nil }

func (b *bench) command(payload string) {
	b.pub.send(Message{Topic: relaySet, Payload: []byte(payload), QoS: 1})
}

func TestACommandIsWrittenReadBackAndAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []point.Command
		b := start(t, Config{}, relays(func(ctx context.Context, cmd point.Command) (point.Value, error) {
			got = append(got, cmd)
			return point.OfBool(true), nil
		}))
		b.want(startOffline)
		if b.pub.filter != "gw/+/+/set" || b.SetFilters()[0] != b.pub.filter || b.SetFilters()[1] != "gw/+/set" {
			t.Errorf("it subscribed to %s", b.pub.filter)
		}
		for _, payload := range []string{"1", ` {"value": 1} `, `{"value":1,"time":"2000-01-01T01:00:00+01:00","id":null,"by":"me"}`} {
			b.command(payload)
			b.want(
				`gw/meter1/relay {"value":true,"time":"2000-01-01T00:00:00.000Z","quality":"good"}`,
				`gw/meter1/relay/set/result {"status":"ok","value":true,`+startTime,
			)
		}
		b.command(`{"value":"on","id":{"n": [1, 2]}}`)
		synctest.Wait()
		m := b.pub.whole()[1]
		if want := `{"status":"ok","value":true,"id":{"n":[1,2]},` + startTime; string(m.Payload) != want || m.QoS != 1 || m.Retain {
			t.Errorf("the result is %+v, want %s", m, want)
		}
		if len(got) != 4 || got[0] != (point.Command{Device: "meter1", Point: "relay", Value: point.OfInt(1)}) || got[3].Value != point.OfString("on") {
			t.Errorf("written were %+v", got)
		}
		if n := b.Stats().Commands["ok"]; n != 4 {
			t.Errorf("counted %d, want 4", n)
		}
	})
}

func TestAValueThatWasNotReadBackIsNull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, relays(func(context.Context, point.Command) (point.Value, error) { return point.Value{}, nil }))
		b.pub.take()
		b.command("true")
		b.want(`gw/meter1/relay/set/result {"status":"ok","value":null,` + startTime)
	})
}

func TestWhatTheAdapterSaysIsTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail error
		b := start(t, Config{}, relays(func(context.Context, point.Command) (point.Value, error) { return point.Value{}, fail }))
		b.pub.take()
		for want, err := range map[string]error{
			"refused":   fmt.Errorf("%w: 7 is above the maximum 5", point.ErrRefused),
			"exception": fmt.Errorf("write coil 3 of unit 1: %w 2", point.ErrException),
			"timeout":   fmt.Errorf("write coil 3 of unit 1: %w", point.ErrTimeout),
			"offline":   point.ErrOffline,
			"error":     errors.New("something else"),
		} {
			fail = err
			b.command(`{"value":1,"id":"x"}`)
			b.want(fmt.Sprintf(`gw/meter1/relay/set/result {"status":"%s","reason":"%v","id":"x",`, want, err) + startTime)
			if n := b.Stats().Commands[want]; n != 1 {
				t.Errorf("%s counted %d times, want 1", want, n)
			}
		}
	})
}

func TestACommandThatCannotBeCarriedOutIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, &fakeAdapter{name: "rs485", devices: meter()})
		b.pub.take()
		time.Sleep(time.Hour) // 01:00:00Z
		for _, c := range []struct{ topic, payload, reason string }{
			{"gw/meter9/relay/set", `1`, `there is no device \"meter9\"`},
			{"gw/meter1/relais/set", `{"value":1,"id":"x"}`, `device \"meter1\" has no point \"relais\"`},
			{"gw/meter1/voltage/set", `230`, `point \"voltage\" of device \"meter1\" cannot be written`},
			{"gw/meter1/status/set", `1`, `device \"meter1\" has no point \"status\"`},
			{relaySet, ``, `the payload is empty`},
			{relaySet, `on`, `the payload is not JSON: want a value, or {\"value\": ...}`},
			{relaySet, `1]`, `the payload is not JSON: want a value, or {\"value\": ...}`},
			{relaySet, `[1]`, `value \"[1]\" is not a number, a bool or a text`},
			{relaySet, `null`, `value \"null\" is not a number, a bool or a text`},
			{relaySet, `{"value":null}`, `value \"null\" is not a number, a bool or a text`},
			{relaySet, `{"id":"x"}`, `the payload has no \"value\"`},
			{relaySet, `{"value":1,"time":17}`, `the time 17 is not like \"2026-11-23T18:04:05.123Z\"`},
			{relaySet, `{"value":1,"time":"2000-01-01T00:59:29Z","id":"x"}`, `it is 31s old, more than the 30s that are allowed`},
			{relaySet, `{"value":1,"time":"2000-01-01T01:00:31Z"}`, `its time is 31s ahead of the gateway's clock, so that its age cannot be told`},
			{relaySet, `{"value":1,"ttl":5}`, `the ttl 5 is not like \"5s\"`},
			{relaySet, `{"value":1,"ttl":"-5s"}`, `the ttl \"-5s\" is not like \"5s\"`},
			{relaySet, `{"value":1,"time":"2000-01-01T00:59:54Z","ttl":"5s","id":"x"}`, `it is 6s old, more than the 5s that are allowed`},
			{relaySet, `"` + strings.Repeat("x", maxRequestBytes) + `"`, `the payload is larger than 16384 bytes`},
			{relaySet, `{"value":1,"id":"` + strings.Repeat("x", maxIDBytes) + `"}`, `the id is longer than 256 bytes`},
		} {
			b.pub.send(Message{Topic: c.topic, Payload: []byte(c.payload)})
			id := ""
			if strings.Contains(c.payload, `"id":"x"`) {
				id = `"id":"x",`
			}
			b.want(c.topic + `/result {"status":"refused","reason":"` + c.reason + `",` + id + `"time":"2000-01-01T01:00:00.000Z"}`)
		}
		if n := b.Stats().Commands["refused"]; n != 19 {
			t.Errorf("counted %d, want 19", n)
		}
		// Each is in the log, but not as many as somebody likes to send.
		if n := b.logs.count("a command is refused"); n != sparingLines {
			t.Errorf("%d lines, want %d", n, sparingLines)
		}
		time.Sleep(sparingTime)
		b.command("off")
		synctest.Wait()
		if b.logs.count("count=10") != 1 {
			t.Error("the next line does not say how many were left out")
		}
	})
}

func TestACommandThatTheUpstreamKeptNeedsATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, relays(echo))
		b.pub.take()
		b.pub.send(Message{Topic: relaySet, Payload: []byte(`{"value":true}`), Queued: true})
		b.want(`gw/meter1/relay/set/result {"status":"refused","reason":"it was kept while the gateway was away, and has no time to tell its age from",` + startTime)
		b.pub.send(Message{Topic: relaySet, Payload: []byte(`{"value":true,"time":"1999-12-31T23:59:35Z"}`), Queued: true})
		b.want(
			`gw/meter1/relay {"value":true,"time":"2000-01-01T00:00:00.000Z","quality":"good"}`,
			`gw/meter1/relay/set/result {"status":"ok","value":true,`+startTime,
		)
	})
}

func TestARetainedCommandIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, relays(echo))
		b.pub.take()
		for range 3 {
			b.pub.send(Message{Topic: relaySet, Payload: []byte("1"), Retain: true})
		}
		b.pub.send(Message{Topic: relaySet, Retain: true}) // which removes it
		b.want()
		if n := b.Stats().Commands["ignored"]; n != 3 {
			t.Errorf("counted %d, want 3", n)
		}
		if n := b.logs.count("retained command"); n != 1 {
			t.Errorf("%d lines said so, want 1", n)
		}
	})
}

func TestCommandsOfAnAdapterAreCarriedOutOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := 0
		var order []point.Value
		slow := func(_ context.Context, cmd point.Command) (point.Value, error) {
			busy++
			if busy > 1 {
				t.Error("two at a time")
			}
			time.Sleep(time.Second)
			order = append(order, cmd.Value)
			busy--
			return point.Value{}, nil
		}
		other := &fakeAdapter{name: "tcp", devices: []point.Device{{Name: "valve", Points: []point.Info{{Name: "open", Writable: true}}}}, write: echo}
		b := start(t, Config{}, relays(slow), other)
		b.pub.take()
		for i := range 3 {
			b.command(fmt.Sprint(i))
		}
		b.pub.send(Message{Topic: "gw/valve/open/set", Payload: []byte("true")})
		// The other adapter does not wait.
		b.want(
			`gw/valve/open {"value":true,"time":"2000-01-01T00:00:00.000Z","quality":"good"}`,
			`gw/valve/open/set/result {"status":"ok","value":true,`+startTime,
		)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got := fmt.Sprint(order); got != "[0 1 2]" {
			t.Errorf("carried out in the order %s", got)
		}
	})
}

func TestACommandHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{CommandTimeout: 2 * time.Second}, relays(func(ctx context.Context, _ point.Command) (point.Value, error) {
			<-ctx.Done()
			return point.Value{}, fmt.Errorf("write coil 3: %w", ctx.Err())
		}))
		b.pub.take()
		b.command("1")
		b.want()
		time.Sleep(2 * time.Second)
		b.want(`gw/meter1/relay/set/result {"status":"timeout","reason":"write coil 3: context deadline exceeded","time":"2000-01-01T00:00:02.000Z"}`)
	})
}

func TestACommandThatWaitsTooLongIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{MaxAge: 5 * time.Second, CommandTimeout: time.Minute}, relays(func(_ context.Context, cmd point.Command) (point.Value, error) {
			time.Sleep(4 * time.Second)
			return point.Value{}, nil
		}))
		b.pub.take()
		b.command(`{"value":1,"id":1}`)
		b.command(`{"value":1,"id":2}`)
		b.command(`{"value":1,"id":3}`)
		b.command(`{"value":1,"id":4,"time":"1999-12-31T23:59:58Z"}`)
		time.Sleep(9 * time.Second)
		b.want(
			`gw/meter1/relay/set/result {"status":"ok","value":null,"id":1,"time":"2000-01-01T00:00:04.000Z"}`,
			`gw/meter1/relay/set/result {"status":"ok","value":null,"id":2,"time":"2000-01-01T00:00:08.000Z"}`,
			`gw/meter1/relay/set/result {"status":"refused","reason":"it waited for its turn until it was older than 5s","id":3,"time":"2000-01-01T00:00:08.000Z"}`,
			`gw/meter1/relay/set/result {"status":"refused","reason":"it waited for its turn until it was older than 5s","id":4,"time":"2000-01-01T00:00:08.000Z"}`,
		)
	})
}

func TestAQueueThatIsFullRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, relays(func(ctx context.Context, _ point.Command) (point.Value, error) {
			<-ctx.Done()
			return point.Value{}, ctx.Err()
		}))
		b.pub.take()
		b.command("1") // is being carried out
		synctest.Wait()
		for range maxQueued {
			b.command("1")
		}
		b.want()
		if n := b.Stats().Adapters[0].Queued; n != maxQueued {
			t.Errorf("%d wait, want %d", n, maxQueued)
		}
		b.command(`{"value":1,"id":"late"}`)
		b.want(`gw/meter1/relay/set/result {"status":"refused","reason":"64 commands wait already","id":"late",` + startTime)
	})
}

func TestAQueueIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, relays(func(ctx context.Context, _ point.Command) (point.Value, error) {
			<-ctx.Done()
			return point.Value{}, ctx.Err()
		}))
		b.pub.take()
		b.command("1")
		synctest.Wait()
		heavy := Message{Topic: relaySet, Payload: []byte("1"), ResponseTopic: "answers", CorrelationData: make([]byte, 65535)}
		for range 3 {
			b.pub.send(heavy)
		}
		b.want()
		b.pub.send(heavy)
		b.want(
			`gw/meter1/relay/set/result {"status":"refused","reason":"3 commands wait already",`+startTime,
			`answers {"status":"refused","reason":"3 commands wait already",`+startTime,
		)
		time.Sleep(4 * b.cfg.CommandTimeout) // all four come to nothing
		synctest.Wait()
		b.pub.take()
		for range 3 {
			b.pub.send(heavy)
		}
		b.want() // there is room again
	})
}

func TestTheResultGoesToTheResponseTopicToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, relays(echo))
		for response, want := range map[string]string{
			"answers/7":             "gw/meter1/relay/set/result= answers/7=c7",
			relaySet + "/result":    "gw/meter1/relay/set/result=c7",
			"":                      "gw/meter1/relay/set/result=",
			relaySet:                "gw/meter1/relay/set/result=", // it would be a command
			"gw/meter1/voltage":     "gw/meter1/relay/set/result=", // it would be a value
			"gw/other/x/set/result": "gw/meter1/relay/set/result=",
			"$SYS/broker/load":      "gw/meter1/relay/set/result=",
			"answers/#":             "gw/meter1/relay/set/result=",
		} {
			b.pub.send(Message{Topic: relaySet, Payload: []byte("{}"), ResponseTopic: response, CorrelationData: []byte("c7")})
			synctest.Wait()
			var got []string
			for _, m := range b.pub.whole() {
				if strings.HasSuffix(m.Topic, "status") {
					continue
				}
				if m.QoS != 1 || m.Retain {
					t.Errorf("%s went at QoS %d, retained %v", m.Topic, m.QoS, m.Retain)
				}
				got = append(got, m.Topic+"="+string(m.CorrelationData))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("with response topic %q published to %s, want %s", response, got, want)
			}
		}
	})
}

func TestAResultIsNeverTakenForACommand(t *testing.T) {
	for _, s := range []string{"{gateway}/{device}/{point}", "{point}/{device}", "a/{point}/set/{device}/set", "{device}/set/{point}"} {
		tm, err := parseTemplate(s, "gw")
		if err != nil {
			t.Fatal(err)
		}
		for _, device := range []string{"meter1", "set", "result"} {
			for _, p := range []string{"relay", "result"} {
				set := tm.set(device, p)
				if !matches(tm.setFilters()[0], set) || !matches(tm.setFilters()[1], tm.deviceSet(device)) {
					t.Errorf("%s: the filters %s do not match %s and %s", s, tm.setFilters(), set, tm.deviceSet(device))
				}
				for _, name := range []string{resultTopic(set), resultTopic(tm.deviceSet(device)), tm.value(device, p), tm.status(device)} {
					if filters := tm.setFilters(); matches(filters[0], name) || matches(filters[1], name) {
						t.Errorf("%s: one of the filters %s matches %s", s, filters, name)
					}
				}
				if d, n := tm.names(tm.deviceSet(device)); d != device || n != "" {
					t.Errorf("%s reads as %s, %s", tm.deviceSet(device), d, n)
				}
				if d, n := tm.names(set); d != device || n != p {
					t.Errorf("%s reads as %s, %s", set, d, n)
				}
			}
		}
	}
}

func TestACommandIsNotCarriedOutAfterItsTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{CommandTimeout: time.Minute}, relays(func(ctx context.Context, _ point.Command) (point.Value, error) {
			select {
			case <-ctx.Done(): // what waits in an adapter ends with it
				return point.Value{}, fmt.Errorf("%w: nothing was sent: %w", point.ErrTimeout, ctx.Err())
			case <-time.After(8 * time.Second):
				return point.OfInt(1), nil
			}
		}))
		b.pub.take()
		began := time.Now()
		b.command(`{"value":1,"id":1,"ttl":"3s"}`)
		synctest.Wait()
		b.command(`{"value":1,"id":2,"ttl":"2s"}`)
		b.pub.send(Message{Topic: relaySet, Payload: []byte(`{"value":1,"id":3,"ttl":"1h"}`), Expiry: time.Second})
		b.command(`{"value":1,"id":4,"ttl":"1h"}`)
		time.Sleep(20 * time.Second)
		b.want(
			`gw/meter1/relay/set/result {"status":"timeout","reason":"timeout: nothing was sent: context deadline exceeded","id":1,"time":"2000-01-01T00:00:03.000Z"}`,
			`gw/meter1/relay/set/result {"status":"refused","reason":"it waited for its turn until it was older than 2s","id":2,"time":"2000-01-01T00:00:03.000Z"}`,
			`gw/meter1/relay/set/result {"status":"refused","reason":"it waited for its turn until it was older than 1s","id":3,"time":"2000-01-01T00:00:03.000Z"}`,
			`gw/meter1/relay {"value":1,"time":"2000-01-01T00:00:11.000Z","quality":"good"}`,
			`gw/meter1/relay/set/result {"status":"ok","value":1,"id":4,"time":"2000-01-01T00:00:11.000Z"}`,
		)
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestAnAdapterThatDoesNotRunIsOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := relays(echo)
		a.run = func(context.Context, func(point.Update)) error { return errors.New("out of luck") }
		b := start(t, Config{}, a)
		b.pub.take()
		b.command("1")
		b.want(`gw/meter1/relay/set/result {"status":"offline","reason":"offline: the adapter does not run",` + startTime)
	})
}

func TestAPanicInAWriteIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, relays(func(context.Context, point.Command) (point.Value, error) { panic("no such register") }))
		b.pub.take()
		b.command("1")
		b.want(`gw/meter1/relay/set/result {"status":"error","reason":"panic: no such register",` + startTime)
		if s := b.Stats().Adapters[0]; s.Panics != 1 || !s.Running {
			t.Errorf("its stats are %+v", s)
		}
	})
}

func TestAtTheEndWaitingCommandsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, relays(func(ctx context.Context, _ point.Command) (point.Value, error) {
			<-ctx.Done()
			return point.Value{}, fmt.Errorf("%w: the adapter is stopping", point.ErrOffline)
		}))
		b.pub.take()
		b.command(`{"value":1,"id":1}`)
		synctest.Wait()
		b.command(`{"value":1,"id":2}`)
		b.stop()
		b.command(`{"value":1,"id":3}`) // nobody is there to answer it
		got := strings.Join(b.pub.take(), "\n")
		for _, want := range []string{
			`{"status":"offline","reason":"offline: the adapter is stopping","id":1,`,
			`{"status":"refused","reason":"the gateway is stopping","id":2,`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("published at the end:\n%s\nwant %s", got, want)
			}
		}
		if strings.Contains(got, `"id":3`) {
			t.Errorf("published after the end:\n%s", got)
		}
	})
}

func TestMoreCommandsThanCanBeRefusedAreDropped(t *testing.T) {
	cfg := Config{ID: "gw"}
	cfg.SetDefaults()
	logs := &logBuffer{}
	g, err := New(cfg, []Adapter{relays(echo)}, &dropper{}, always, slog.New(slog.NewTextHandler(logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range maxIntake + 5 { // Run, which would take them, does not run
		g.handle(Message{Topic: relaySet, Payload: []byte("1")})
	}
	if n := g.Stats().Commands["dropped"]; n != 5 {
		t.Errorf("%d were dropped, want 5", n)
	}
	if n := logs.count("too fast to be answered"); n != 1 {
		t.Errorf("%d lines said so, want 1", n)
	}
}

// Not in a bubble: what the race detector sees is the point here.
func TestUpdatesCommandsAndStatsMayComeAtOnce(t *testing.T) {
	const each = 200
	a := relays(echo)
	a.run = func(ctx context.Context, emit func(point.Update)) error {
		for range each {
			emit(point.Update{Device: "meter1", Samples: []point.Sample{{Point: "voltage", Value: point.OfInt(1), Time: time.Now()}}})
		}
		<-ctx.Done()
		return ctx.Err()
	}
	pub := &recorder{}
	cfg := Config{ID: "gw"}
	cfg.SetDefaults()
	g, err := New(cfg, []Adapter{a}, pub, always, quietLog())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { g.Run(ctx) })
	for range 4 {
		running.Go(func() {
			for range each / 4 {
				g.handle(Message{Topic: relaySet, Payload: []byte("1")})
				g.Stats()
			}
		})
	}
	deadline := time.Now().Add(20 * time.Second)
	answered := func() (n uint64) {
		for _, c := range g.Stats().Commands {
			n += c
		}
		return n
	}
	for (answered() < each || g.Stats().Samples < each) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	running.Wait()
	if n := answered(); n != each {
		t.Errorf("%d commands were answered, want %d", n, each)
	}
}
