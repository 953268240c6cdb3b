package derived

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/gateway/point"
)

func field() []point.Device {
	return []point.Device{
		{Name: "meter1", Points: []point.Info{{Name: "voltage"}, {Name: "current"}, {Name: "label", Kind: point.String}}},
		{Name: "meter-2", Points: []point.Info{{Name: "power"}}},
		{Name: "boiler", Points: []point.Info{{Name: "temp"}, {Name: "raw", Raw: true}}},
	}
}

// bench is a running adapter in a synctest bubble.
type bench struct {
	t *testing.T
	*Adapter
	stop func()
	mu   sync.Mutex
	said []string
}

func start(t *testing.T, path string, tables ...Config) *bench {
	t.Helper()
	for i := range tables {
		tables[i].SetDefaults()
	}
	a, err := New(tables, field(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, Adapter: a}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, b.hear) }()
	b.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(b.stop)
	synctest.Wait()
	return b
}

func (b *bench) hear(u point.Update) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range u.Samples {
		line := fmt.Sprintf("%s.%s %v %v", u.Device, s.Point, s.Value, s.Quality)
		if s.Reason != "" {
			line += ": " + s.Reason
		}
		b.said = append(b.said, line)
	}
}

// sample makes one sample of now.
func sample(name string, v any) point.Sample {
	s := point.Sample{Point: name, Time: time.Now()}
	switch v := v.(type) {
	case float64:
		s.Value = point.OfFloat(v)
	case string:
		s.Value = point.OfString(v)
	case error:
		s.Quality, s.Reason = point.Bad, v.Error()
	}
	return s
}

func (b *bench) read(device string, samples ...point.Sample) {
	b.Observe(point.Update{Device: device, Samples: samples})
	synctest.Wait()
}

// want compares what was said since the last call.
func (b *bench) want(lines ...string) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got, want := strings.Join(b.said, "\n"), strings.Join(lines, "\n"); got != want {
		b.t.Errorf("said:\n%s\nwant:\n%s", got, want)
	}
	b.said = nil
}

func TestAPointIsComputedOnceForEachReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, filepath.Join(t.TempDir(), "totals"), Config{Name: "house", Points: []Point{
			{Name: "all", Expr: `power + (value("meter-2", "power") ?? 0)`},
			{Name: "power", Expr: "meter1.voltage * meter1.current"},
		}})
		b.read("meter1", sample("voltage", 230.0), sample("current", 2.0))
		b.want("house.power 460 good")
		b.read("meter-2", sample("power", 40.0))
		b.want("house.all 500 good")
		b.read("meter1", sample("voltage", 200.0), sample("current", 2.0))
		b.want("house.power 400 good", "house.all 440 good")
		b.read("meter1", sample("current", fmt.Errorf("no answer")))
		b.want("house.power - bad: meter1.current is bad: no answer", "house.all - bad: house.power is bad: meter1.current is bad: no answer")
		b.read("meter-2", sample("power", fmt.Errorf("no answer")), sample("unknown", 5.0))
		b.read("meter1", sample("current", 1.0))
		b.want("house.all - bad: house.power is bad: meter1.current is bad: no answer", "house.power 200 good", "house.all 200 good")
	})
}

func TestAValueHasTheTimeOfItsNewestInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := Config{Name: "house", Points: []Point{{Name: "power", Expr: "meter1.voltage * meter1.current"}}}
		b := start(t, filepath.Join(t.TempDir(), "totals"), table)
		older := sample("voltage", 230.0)
		time.Sleep(3 * time.Second)
		newer := sample("current", 2.0)
		b.read("meter1", newer, older)
		if got := b.formulas[0].last.Time; !got.Equal(newer.Time) {
			t.Errorf("got %v, want %v", got, newer.Time)
		}
	})
}

func TestAnInputThatSaysNothingIsToldAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, filepath.Join(t.TempDir(), "totals"), Config{Name: "house", Points: []Point{{Name: "power", Expr: "meter1.voltage * meter1.current"}}})
		b.read("meter1", sample("voltage", 230.0))
		b.want()
		time.Sleep(patience)
		b.want("house.power - bad: meter1.current is bad: nothing has come yet")
	})
}

func TestWhatComesFromADeviceThatIsOfflineIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, filepath.Join(t.TempDir(), "totals"), Config{Name: "house", Points: []Point{{Name: "double", Expr: "boiler.temp * 2"}}})
		b.read("boiler", sample("temp", 40.0))
		b.Observe(point.Update{Device: "boiler", Status: &point.Status{Reason: "adapter failed", Time: time.Now()}})
		b.want("house.double 80 good", "house.double 80 stale: boiler.temp is stale: device is offline: adapter failed")
	})
}

func TestTheJSONOfOthersBecomesPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, filepath.Join(t.TempDir(), "totals"), Config{Name: "house",
			Inputs: []Input{{Name: "plug", Topic: "zigbee2mqtt/plug1", StaleAfter: time.Minute}},
			Points: []Point{{Name: "plug_power", Expr: "plug.power"}, {Name: "on", Expr: "plug.state == 'ON'"}},
		})
		b.Hear("zigbee2mqtt/plug1", []byte(`{"power":12.5,"state":"ON"}`))
		b.want("house.plug_power 12.5 good", "house.on true good")
		b.Hear("zigbee2mqtt/plug1", []byte(`{"state":"OFF"}`))
		b.want(`house.plug_power - bad: plug has no "power"`, "house.on false good")
		b.Hear("zigbee2mqtt/plug1", []byte(strings.Repeat(" ", maxPayload)+"{}"))
		b.want("house.plug_power - bad: plug is bad: the payload is longer than 64 kB", "house.on - bad: plug is bad: the payload is longer than 64 kB")
		b.Hear("zigbee2mqtt/plug1", []byte(`{"power":1,"state":"ON"}`))
		b.want("house.plug_power 1 good", "house.on true good")
		time.Sleep(time.Minute)
		b.want("house.plug_power 1 stale: plug is stale: nothing came for 1m0s", "house.on true stale: plug is stale: nothing came for 1m0s")
	})
}

func TestAnAlarmWaitsAndHasAHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, filepath.Join(t.TempDir(), "totals"), Config{Name: "plant",
			Alarms: []Alarm{{Name: "hot", When: "boiler.temp > 90", Clear: "boiler.temp < 85", Delay: 10 * time.Second}}})
		b.read("boiler", sample("temp", 91.0))
		b.want("plant.hot false good")
		time.Sleep(5 * time.Second)
		b.read("boiler", sample("temp", 89.0))
		b.want("plant.hot false good")
		b.read("boiler", sample("temp", 91.0))
		b.want("plant.hot false good")
		time.Sleep(10 * time.Second) // nothing comes: it is an alarm all the same
		b.want("plant.hot true good")
		b.read("boiler", sample("temp", 86.0))
		b.want("plant.hot true good")
		b.read("boiler", sample("temp", fmt.Errorf("no answer")))
		b.want("plant.hot - bad: boiler.temp is bad: no answer")
		b.read("boiler", sample("temp", 86.0))
		b.want("plant.hot true good")
		b.read("boiler", sample("temp", 84.0))
		b.want("plant.hot false good")
	})
}

func TestTotalsAndAlarmsOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "totals")
		tables := func() Config {
			return Config{Name: "plant",
				Points: []Point{{Name: "energy", Expr: "integrate(boiler.temp, '1m')"}},
				Alarms: []Alarm{{Name: "hot", When: "boiler.temp > 90", Clear: "boiler.temp < 85"}}}
		}
		b := start(t, path, tables())
		b.read("boiler", sample("temp", 100.0))
		time.Sleep(time.Minute)
		b.read("boiler", sample("temp", 100.0))
		b.want("plant.energy 0 good", "plant.hot true good", "plant.energy 100 good", "plant.hot true good")
		b.stop()
		b = start(t, path, tables())
		b.read("boiler", sample("temp", 88.0))
		b.want("plant.energy 100 good", "plant.hot true good")
		b.stop()

		// A file that is damaged is put aside; nothing is computed from it.
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(whole), "100", "900", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		b = start(t, path, tables())
		b.read("boiler", sample("temp", 88.0))
		b.want("plant.energy 0 good", "plant.hot false good")
		if _, err := os.Stat(path + ".damaged"); err != nil {
			t.Error(err)
		}
	})
}

func TestTotalsAreWrittenOnceAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "totals")
		b := start(t, path, Config{Name: "plant", Points: []Point{{Name: "energy", Expr: "integrate(boiler.temp, '1m')"}}})
		writes, last := 0, ""
		for range 600 {
			b.read("boiler", sample("temp", 100.0))
			time.Sleep(time.Second)
			if now, _ := os.ReadFile(path); string(now) != last {
				writes, last = writes+1, string(now)
			}
		}
		if writes < 9 || writes > 11 {
			t.Errorf("got %d writes in ten minutes, want 10", writes)
		}
	})
}

func TestWhatComesTooFastIsLeftOutAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tables := []Config{{Name: "plant", Points: []Point{{Name: "double", Expr: "boiler.temp * 2"}}}}
		a, err := New(tables, field(), filepath.Join(t.TempDir(), "totals"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20000 { // it does not run
			a.Observe(point.Update{Device: "boiler", Samples: []point.Sample{sample("temp", float64(i))}})
		}
		list, dropped := a.inbox.take()
		if len(list)+int(dropped) != 20000 || dropped == 0 || len(list)*256 > maxInbox {
			t.Errorf("got %d waiting and %d dropped", len(list), dropped)
		}
		if got := list[len(list)-1].samples[0].Value; got != point.OfFloat(19999) {
			t.Errorf("got %v, want the newest kept", got)
		}
	})
}

func TestFaultsOfExpressionsAreFoundBeforeTheyRun(t *testing.T) {
	for want, table := range map[string]Config{
		`point[0].expr at 0: device "meter1" has no point "volts"; there are voltage, current, label`:    {Points: []Point{{Name: "a", Expr: "meter1.volts"}}},
		`point[0].expr at 4: there is no device "metre1"; did you mean "meter1"?`:                        {Points: []Point{{Name: "a", Expr: "2 * metre1.voltage"}}},
		`point[0].expr at 6: "2.power" is no number; names with a - in them`:                             {Points: []Point{{Name: "a", Expr: "meter-2.power"}}},
		`point[0].expr at 0: there is no device "meter"; "meter-2" is written value("meter-2", "POINT")`: {Points: []Point{{Name: "a", Expr: "meter.power"}}},
		`point[0].expr at 0: "meter1" is a device: want one of its points, like meter1.voltage`:          {Points: []Point{{Name: "a", Expr: "meter1 * 2"}}},
		`point[0].expr at 0: device "boiler" has no point "raw"; there are temp`:                         {Points: []Point{{Name: "a", Expr: "boiler.raw"}}},
		"point[0].expr: needs itself: house.a needs house.b needs house.a":                               {Points: []Point{{Name: "a", Expr: "b"}, {Name: "b", Expr: "house.a + 1"}}},
		`point[0].expr at 0: needs no point and no input`:                                                {Points: []Point{{Name: "a", Expr: "1 + 1"}}},
		`point[0].expr at 0: meter1.label is a text; want a number beside *`:                             {Points: []Point{{Name: "a", Expr: "meter1.label * 2"}}},
		`alarm[0].when at 0: is a number; want what is true or false`:                                    {Alarms: []Alarm{{Name: "a", When: "boiler.temp + 1"}}},
		`alarm[0].clear at 14: true is a bool`:                                                           {Alarms: []Alarm{{Name: "a", When: "boiler.temp > 1", Clear: "boiler.temp < true"}}},
		`input[0].name: "meter1" is the name of a device`:                                                {Inputs: []Input{{Name: "meter1", Topic: "a"}}, Points: []Point{{Name: "a", Expr: "boiler.temp"}}},
		`point[0].expr at 0: there is no input and no point "plg" in this table; did you mean "plug"?`:   {Inputs: []Input{{Name: "plug", Topic: "a"}}, Points: []Point{{Name: "a", Expr: "plg"}}},
	} {
		table.Name = "house"
		var got []string
		Check([]Config{table}, field(), func(_ int, key, format string, args ...any) {
			line := key + ": " + fmt.Sprintf(format, args...)
			if e, ok := args[0].(interface{ Offset() int }); ok {
				line = fmt.Sprintf("%s at %d: %v", key, e.Offset(), strings.TrimSuffix(fmt.Sprint(args[0]), fmt.Sprintf(" (at character %d)", e.Offset()+1)))
			}
			got = append(got, line)
		})
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestFaultsOfATable(t *testing.T) {
	for want, c := range map[string]Config{
		"name: is missing":                          {Points: []Point{{Name: "a", Expr: "x"}}},
		": has neither a [[derived.point]]":         {Name: "house"},
		"point[0].expr: is missing":                 {Name: "house", Points: []Point{{Name: "a"}}},
		`point[0].name: "set" is reserved`:          {Name: "house", Points: []Point{{Name: "set", Expr: "x"}}},
		`alarm[0].name: "a" is the name of another`: {Name: "house", Points: []Point{{Name: "a", Expr: "x"}}, Alarms: []Alarm{{Name: "a", When: "x"}}},
		"alarm[0].when: is missing":                 {Name: "house", Alarms: []Alarm{{Name: "a"}}},
		"alarm[0].delay: 48h0m0s: want":             {Name: "house", Alarms: []Alarm{{Name: "a", When: "x", Delay: 48 * time.Hour}}},
		`input[0].topic: "a/#": want the name`:      {Name: "house", Inputs: []Input{{Name: "p", Topic: "a/#"}}, Points: []Point{{Name: "a", Expr: "p"}}},
		`input[0].name: "a-b": want a word`:         {Name: "house", Inputs: []Input{{Name: "a-b", Topic: "a"}}, Points: []Point{{Name: "a", Expr: "p"}}},
		"input[0].stale_after: 1ms: want":           {Name: "house", Inputs: []Input{{Name: "p", Topic: "a", StaleAfter: time.Millisecond}}, Points: []Point{{Name: "a", Expr: "p"}}},
	} {
		c.SetDefaults()
		var got []string
		c.Check(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// BenchmarkAReading is what one reading costs of which two among a thousand derived
// points are computed.
func BenchmarkAReading(b *testing.B) {
	table := Config{Name: "house"}
	for i := range 1000 {
		expr := "boiler.temp * 2"
		if i < 2 {
			expr = "meter1.voltage * meter1.current"
		}
		table.Points = append(table.Points, Point{Name: fmt.Sprintf("p%d", i), Expr: expr})
	}
	a, err := New([]Config{table}, field(), filepath.Join(b.TempDir(), "totals"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	a.emit = func(point.Update) {}
	u := point.Update{Device: "meter1", Samples: []point.Sample{
		{Point: "voltage", Value: point.OfFloat(230), Time: time.Now()}, {Point: "current", Value: point.OfFloat(2), Time: time.Now()}}}
	b.ReportAllocs()
	for b.Loop() {
		a.Observe(u)
		list, _ := a.inbox.take()
		a.take(&list[0])
	}
}

func TestOtherDevicesFitWhileWhatIsNeededIsTheSame(t *testing.T) {
	t.Parallel()
	table := Config{Name: "sum", Points: []Point{{Name: "power", Expr: "meter1.voltage * meter1.current"}, {Name: "twice", Expr: "power * 2"}}}
	table.SetDefaults()
	a, err := New([]Config{table}, field(), "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	meter := field()[0]
	text := point.Device{Name: "meter1", Points: []point.Info{{Name: "voltage", Kind: point.String}, {Name: "current"}}}
	for what, c := range map[string]struct {
		devices []point.Device
		want    bool
	}{
		"the same":                {field(), true},
		"what it needs alone":     {[]point.Device{meter}, true},
		"one more":                {append(field(), point.Device{Name: "more", Points: []point.Info{{Name: "power"}}}), true},
		"its device is gone":      {field()[1:], false},
		"a point is gone":         {[]point.Device{{Name: "meter1", Points: meter.Points[:1]}}, false},
		"a point has become text": {[]point.Device{text}, false},
	} {
		if got := a.Fits(c.devices); got != c.want {
			t.Errorf("%s: got %v", what, got)
		}
	}
}
