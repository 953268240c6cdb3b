package gateway

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headgate/gateway/point"
)

// In a synctest bubble it is midnight of 2000-01-01 until somebody waits.
const (
	startTime    = `"time":"2000-01-01T00:00:00.000Z"}`
	startOffline = `gw/meter1/status {"status":"offline","reason":"starting",` + startTime + ` (retained)`
)

// talker is an adapter that emits what it is sent.
func talker(devices ...point.Device) (*fakeAdapter, chan<- point.Update) {
	updates := make(chan point.Update)
	return &fakeAdapter{name: "rs485", devices: devices, run: func(ctx context.Context, emit func(point.Update)) error {
		for {
			select {
			case u := <-updates:
				emit(u)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}, updates
}

func TestWhatADeviceSaysIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		b := start(t, Config{}, a)
		b.want(startOffline)

		at := time.Now().Add(-40 * time.Millisecond)
		updates <- point.Update{Device: "meter1", Status: &point.Status{Online: true, Time: at}, Samples: []point.Sample{
			{Point: "voltage", Unit: "V", Value: point.OfFloat(231.4), Time: at},
			{Point: "relay", Quality: point.Bad, Reason: "exception 2", Time: at},
		}}
		b.want(
			`gw/meter1/status {"status":"online","time":"1999-12-31T23:59:59.960Z"} (retained)`,
			`gw/meter1/voltage {"value":231.4,"unit":"V","time":"1999-12-31T23:59:59.960Z","quality":"good"}`,
			`gw/meter1/relay {"value":null,"time":"1999-12-31T23:59:59.960Z","quality":"bad","reason":"exception 2"}`,
		)

		s := b.Stats()
		if s.Samples != 2 || s.Bad != 1 || s.Dropped != 0 || s.Strays != 0 {
			t.Errorf("stats count %+v", s)
		}
		d := s.Devices[0]
		if !d.Online || d.Adapter != "rs485" || d.StatusTopic != "gw/meter1/status" || !d.Since.Equal(at) || len(d.Points) != 3 {
			t.Errorf("the device's stats are %+v", d)
		}
		if p := d.Points[0]; p.Last.Value != point.OfFloat(231.4) || p.Topic != "gw/meter1/voltage" || p.Unit != "V" {
			t.Errorf("the point's stats are %+v", p)
		}
	})
}

func TestAPointIsPublishedAsItsReportSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		devices := meter()
		devices[0].Points[0].Report = point.Report{Deadband: point.NewDeadband(0.5, false), Heartbeat: time.Minute}
		devices[0].Points[1].Report = point.Report{MinInterval: time.Hour}
		a, updates := talker(devices...)
		a.write = func(context.Context, point.Command) (point.Value, error) { return point.OfBool(true), nil }
		b := start(t, Config{}, a)
		b.want(startOffline)
		say := func(samples ...point.Sample) { updates <- point.Update{Device: "meter1", Samples: samples} }
		say(point.Sample{Point: "voltage", Value: point.OfInt(230)}, point.Sample{Point: "relay", Value: point.OfBool(true)})
		b.want(
			`gw/meter1/status {"status":"online","time":"2000-01-01T00:00:00.000Z"} (retained)`,
			`gw/meter1/voltage {"value":230,"unit":"V","time":"2000-01-01T00:00:00.000Z","quality":"good"}`,
			`gw/meter1/relay {"value":true,"time":"2000-01-01T00:00:00.000Z","quality":"good"}`,
		)
		// What stays within its band, or comes too soon, is held back.
		time.Sleep(30 * time.Second)
		say(point.Sample{Point: "voltage", Value: point.OfFloat(230.4)}, point.Sample{Point: "relay", Value: point.OfBool(false)})
		b.want()
		// What a command has read back is published all the same.
		b.pub.send(Message{Topic: "gw/meter1/relay/set", Payload: []byte("true")})
		b.want(
			`gw/meter1/relay {"value":true,"time":"2000-01-01T00:00:30.000Z","quality":"good"}`,
			`gw/meter1/relay/set/result {"status":"ok","value":true,"time":"2000-01-01T00:00:30.000Z"}`,
		)
		// A value that was lost was not said.
		b.pub.setFail(errors.New("no room"))
		say(point.Sample{Point: "voltage", Value: point.OfInt(240)})
		b.want()
		b.pub.setFail(nil)
		time.Sleep(30 * time.Second)
		say(point.Sample{Point: "voltage", Value: point.OfInt(240)})
		b.want(`gw/meter1/voltage {"value":240,"unit":"V","time":"2000-01-01T00:01:00.000Z","quality":"good"}`)
		if s := b.Stats(); s.Held != 2 || s.Samples != 7 || s.Devices[0].Points[0].Last.Value != point.OfInt(240) {
			t.Errorf("stats are %+v", s)
		}
	})
}

func TestQoSAndRetainComeFromTheConfigForValuesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		qos := 0
		b := start(t, Config{QoS: &qos, Retain: true}, a)
		updates <- point.Update{Device: "meter1", Samples: []point.Sample{{Point: "relay", Value: point.OfBool(true)}}}
		synctest.Wait()
		for _, m := range b.pub.whole() {
			want := byte(0)
			if strings.HasSuffix(m.Topic, "/status") {
				want = 1
			}
			if m.QoS != want || !m.Retain {
				t.Errorf("%s went at QoS %d, retained %v", m.Topic, m.QoS, m.Retain)
			}
		}
	})
}

func TestAStatusIsPublishedWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		b := start(t, Config{}, a)
		b.want(startOffline)
		offline := func(reason string) {
			updates <- point.Update{Device: "meter1", Status: &point.Status{Reason: reason, Time: time.Now()}}
		}
		offline("no answer")
		offline("no answer")
		b.want(`gw/meter1/status {"status":"offline","reason":"no answer",` + startTime + ` (retained)`)
		offline("link is down")
		b.want(`gw/meter1/status {"status":"offline","reason":"link is down",` + startTime + ` (retained)`)
		long := strings.Repeat("why ", 30)
		offline(long)
		b.want(`gw/meter1/status {"status":"offline","reason":"` + long + `",` + startTime + ` (retained)`)
		if b.logs.count("device is offline") != 3 || b.logs.count(long) != 0 || b.logs.count(long[:maxBrief]+`..."`) != 1 {
			t.Error("the log does not have each, the long one cut")
		}
	})
}

func TestAStatusThatWasDroppedIsPublishedWithTheNextWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		b := start(t, Config{}, a)
		b.want(startOffline)
		b.pub.setFail(errors.New("full"))
		updates <- point.Update{Device: "meter1", Status: &point.Status{Online: true, Time: time.Now()}}
		synctest.Wait()
		b.pub.setFail(nil)
		updates <- point.Update{Device: "meter1", Samples: []point.Sample{{Point: "relay", Value: point.OfBool(true), Time: time.Now()}}}
		b.want(
			`gw/meter1/status {"status":"online",`+startTime+` (retained)`,
			`gw/meter1/relay {"value":true,"time":"2000-01-01T00:00:00.000Z","quality":"good"}`,
		)
		if got := b.Stats().Dropped; got != 1 {
			t.Errorf("%d messages counted as dropped, want 1", got)
		}
	})
}

func TestAtTheEndEveryDeviceIsOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		other := &fakeAdapter{name: "tcp", devices: []point.Device{{Name: "inverter"}}}
		b := start(t, Config{}, a, other)
		updates <- point.Update{Device: "meter1", Status: &point.Status{Online: true, Time: time.Now()}}
		synctest.Wait()
		b.pub.take()
		if err := b.stop(); err != nil {
			t.Fatalf("Run ended with %v", err)
		}
		got := strings.Join(b.pub.take(), "\n")
		for _, d := range []string{"meter1", "inverter"} {
			if want := `gw/` + d + `/status {"status":"offline","reason":"gateway stopped",` + startTime + ` (retained)`; !strings.Contains(got, want) {
				t.Errorf("published at the end:\n%s\nwant %s", got, want)
			}
		}
	})
}

func TestAnAdapterThatFailsIsRunAgainWithBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs []time.Duration
		begin := time.Now()
		a := &fakeAdapter{name: "rs485", devices: meter(), run: func(ctx context.Context, emit func(point.Update)) error {
			runs = append(runs, time.Since(begin))
			emit(point.Update{Device: "meter1", Status: &point.Status{Online: true, Time: time.Now()}})
			if len(runs) < 8 {
				return errors.New("out of luck")
			}
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					emit(point.Update{Device: "meter1"})
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}}
		b := start(t, Config{}, a)
		b.want(
			startOffline,
			`gw/meter1/status {"status":"online",`+startTime+` (retained)`,
			`gw/meter1/status {"status":"offline","reason":"adapter failed: out of luck",`+startTime+` (retained)`,
		)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		want := []time.Duration{0, 1, 3, 7, 15, 31, 61, 91} // seconds
		for i := range want {
			want[i] *= time.Second
		}
		if len(runs) != len(want) {
			t.Fatalf("it ran at %v, want %v", runs, want)
		}
		for i := range want {
			if runs[i] != want[i] {
				t.Fatalf("it ran at %v, want %v", runs, want)
			}
		}
		if n := b.logs.count("is run again"); n != 1 {
			t.Errorf("%d lines said that it failed, want 1", n)
		}
		if n := b.logs.count("the adapter runs again"); n != 1 {
			t.Errorf("%d lines said that it works again, want 1", n)
		}
		if s := b.Stats().Adapters[0]; s.Restarts != 7 || s.Error != "" || !s.Running {
			t.Errorf("its stats are %+v", s)
		}
	})
}

func TestAnAdapterThatEndsByItselfIsRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		a := &fakeAdapter{name: "rs485", devices: meter(), run: func(context.Context, func(point.Update)) error {
			runs++
			return nil
		}}
		b := start(t, Config{}, a)
		b.want(startOffline, `gw/meter1/status {"status":"offline","reason":"adapter failed: it ended by itself",`+startTime+` (retained)`)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if runs != 2 {
			t.Errorf("it ran %d times, want 2", runs)
		}
	})
}

func TestAnAdapterThatRanWellForAWhileIsRunAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := make(chan time.Time, 100)
		a := &fakeAdapter{name: "rs485", devices: meter(), run: func(ctx context.Context, _ func(point.Update)) error {
			runs <- time.Now()
			select {
			case <-time.After(settled):
			case <-ctx.Done():
			}
			return errors.New("out of luck")
		}}
		start(t, Config{}, a)
		last := <-runs
		for range 4 {
			next := <-runs
			if wait := next.Sub(last) - settled; wait != firstBackoff {
				t.Errorf("it was run again after %v, want %v", wait, firstBackoff)
			}
			last = next
		}
	})
}

func TestAPanicIsABugThatTheOthersDoNotFeel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := &fakeAdapter{name: "rs485", devices: meter(), run: func(context.Context, func(point.Update)) error {
			var none []int
			_ = none[len(none)]
			return nil
		}}
		good, updates := talker(point.Device{Name: "inverter", Points: []point.Info{{Name: "power"}}})
		b := start(t, Config{}, bad, good)
		time.Sleep(10 * time.Second)
		b.pub.take()
		updates <- point.Update{Device: "inverter", Samples: []point.Sample{{Point: "power", Value: point.OfInt(5), Time: time.Now()}}}
		b.want(
			`gw/inverter/status {"status":"online","time":"2000-01-01T00:00:10.000Z"} (retained)`,
			`gw/inverter/power {"value":5,"time":"2000-01-01T00:00:10.000Z","quality":"good"}`,
		)
		s := b.Stats().Adapters[0]
		if s.Panics != 4 || s.Restarts != 4 || !strings.Contains(s.Error, "index out of range") {
			t.Errorf("its stats are %+v", s)
		}
		if n := b.logs.count("which is a bug"); n != 1 {
			t.Errorf("%d lines said so, want 1", n)
		}
		if b.logs.count("gateway_test.go") != 1 {
			t.Error("the log has no stack")
		}
	})
}

func TestAWordAfterTheEndOfARunCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late func(point.Update)
		a := &fakeAdapter{name: "rs485", devices: meter(), run: func(ctx context.Context, emit func(point.Update)) error {
			late = emit
			<-ctx.Done()
			return ctx.Err()
		}}
		b := start(t, Config{}, a)
		b.stop()
		b.pub.take()
		late(point.Update{Device: "meter1", Status: &point.Status{Online: true, Time: time.Now()}})
		b.want()
	})
}

func TestAGoodValueAfterARestartMeansOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		b := start(t, Config{}, a)
		b.want(startOffline)
		updates <- point.Update{Device: "meter1", Samples: []point.Sample{{Point: "relay", Value: point.OfBool(true), Time: time.Now()}}}
		b.want(
			`gw/meter1/status {"status":"online",`+startTime+` (retained)`,
			`gw/meter1/relay {"value":true,"time":"2000-01-01T00:00:00.000Z","quality":"good"}`,
		)
		// What the adapter itself has said stands.
		updates <- point.Update{Device: "meter1", Status: &point.Status{Reason: "no answer", Time: time.Now()}}
		b.want(`gw/meter1/status {"status":"offline","reason":"no answer",` + startTime + ` (retained)`)
		updates <- point.Update{Device: "meter1", Samples: []point.Sample{{Point: "relay", Value: point.OfBool(true), Time: time.Now()}}}
		b.want(`gw/meter1/relay {"value":true,"time":"2000-01-01T00:00:00.000Z","quality":"good"}`)
	})
}

func TestWhatIsNotConfiguredIsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		b := start(t, Config{}, a, &fakeAdapter{name: "tcp", devices: []point.Device{{Name: "inverter"}}})
		b.pub.take()
		for range 3 {
			updates <- point.Update{Device: "nobody", Status: &point.Status{Online: true}}
			updates <- point.Update{Device: "inverter", Status: &point.Status{Online: true}} // another adapter's
			updates <- point.Update{Device: "meter1", Samples: []point.Sample{{Point: "speed", Quality: point.Bad}}}
		}
		b.want()
		if s := b.Stats(); s.Strays != 9 || s.Samples != 0 {
			t.Errorf("stats count %d strays and %d samples, want 9 and 0", s.Strays, s.Samples)
		}
		if n := b.logs.count("not its own") + b.logs.count("not configured"); n != 2 {
			t.Errorf("%d lines said so, want 2", n)
		}
	})
}

func TestLossIsLoggedAtItsBeginningAndItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		b := start(t, Config{}, a)
		say := func(err error) {
			b.pub.setFail(err)
			updates <- point.Update{Device: "meter1", Samples: []point.Sample{{Point: "relay", Value: point.OfBool(true)}}}
			synctest.Wait()
		}
		for range 5 { // comes and goes
			say(errors.New("full"))
			say(nil)
		}
		if b.logs.count("messages are dropped") != 1 || b.logs.count("taken again") != 0 {
			t.Errorf("logged:\n%s", b.logs.b.String())
		}
		time.Sleep(quiet)
		say(nil)
		say(nil)
		if b.logs.count("messages are dropped") != 1 || b.logs.count("taken again") != 1 {
			t.Errorf("logged:\n%s", b.logs.b.String())
		}
	})
}

func TestRunEndsWhenItCannotSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{ID: "gw"}
		cfg.SetDefaults()
		refused := errors.New("closed")
		g, err := New(cfg, []Adapter{&fakeAdapter{name: "a", devices: meter()}}, &recorder{refuse: refused}, always, quietLog())
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Run(t.Context()); !errors.Is(err, refused) || !strings.Contains(err.Error(), "gw/+/+/set") {
			t.Errorf("Run ended with %v", err)
		}
	})
}

func TestNamesThatCannotBeTopicsAreSaidAllAtOnce(t *testing.T) {
	cfg := Config{ID: "gw"}
	cfg.SetDefaults()
	points := func(names ...string) (infos []point.Info) {
		for _, n := range names {
			infos = append(infos, point.Info{Name: n})
		}
		return infos
	}
	_, err := New(cfg, []Adapter{
		&fakeAdapter{name: "rs485", devices: []point.Device{{Name: "meter1"}, {Name: "pump"}, {Name: "pump"}, {Name: "a/b"}}},
		&fakeAdapter{name: "scale", devices: []point.Device{{Name: "meter1"}}},
		&fakeAdapter{name: "tcp", devices: []point.Device{
			{Name: "d1", Points: points("x", "x")}, {Name: "d2", Points: points("status")}, {Name: "d3", Points: points("#")},
		}},
	}, &dropper{}, always, quietLog())
	if err == nil {
		t.Fatal("New took them all")
	}
	for _, want := range []string{
		`device "meter1" is in adapter "rs485" and in adapter "scale"`,
		`device "pump" is twice in adapter "rs485"`,
		`device "a/b" of adapter "rs485": its name has a '/' in it`,
		`device "d1" of adapter "tcp": point "x" is there twice`,
		`device "d2" of adapter "tcp": point "status": its name is reserved`,
		`device "d3" of adapter "tcp": point "#": its name has a '#' in it`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
}

func TestTheLastValuesAreSaidOnceMoreAsTheyWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		devices := meter()
		devices[0].Points = append(devices[0].Points, point.Info{Name: "high", Alarm: true}) // is retained
		a, updates := talker(devices...)
		b := start(t, Config{}, a)
		updates <- point.Update{Device: "meter1", Status: &point.Status{Online: true, Time: time.Now()}, Samples: []point.Sample{
			{Point: "high", Value: point.OfBool(true), Time: time.Now()},
			{Point: "voltage", Unit: "V", Value: point.OfFloat(231.4), Time: time.Now()},
			{Point: "relay", Quality: point.Bad, Reason: "exception 2", Time: time.Now()},
		}}
		synctest.Wait()
		b.pub.take()
		time.Sleep(time.Hour)
		b.SayAgain()
		b.want(
			`gw/meter1/voltage {"value":231.4,"unit":"V","time":"2000-01-01T00:00:00.000Z","quality":"good"}`,
			`gw/meter1/relay {"value":null,"time":"2000-01-01T00:00:00.000Z","quality":"bad","reason":"exception 2"}`,
		)
		if s := b.Stats(); s.Samples != 3 {
			t.Errorf("they are counted as %d samples, want 3", s.Samples)
		}
	})
}
