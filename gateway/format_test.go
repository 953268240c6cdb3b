package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"headgate/gateway/format"
	"headgate/gateway/point"
)

func TestOnePayloadHasWhatADeviceSaysAtOneTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		b := start(t, Config{Config: format.Config{Format: format.JSONDevice}}, a)
		b.want(startOffline)
		at, later := time.Now(), time.Now().Add(time.Second)
		updates <- point.Update{Device: "meter1", Samples: []point.Sample{
			{Point: "voltage", Value: point.OfFloat(231.4), Time: at},
			{Point: "relay", Quality: point.Bad, Reason: "exception 2", Time: at},
			{Point: "voltage", Value: point.OfFloat(232), Time: later},
		}}
		b.want(
			`gw/meter1/status {"status":"online","time":"2000-01-01T00:00:00.000Z"} (retained)`,
			`gw/meter1 {"time":"2000-01-01T00:00:00.000Z","values":{"voltage":231.4,"relay":null},"units":{"voltage":"V"},"quality":"bad","reasons":{"relay":"exception 2"}}`,
			`gw/meter1 {"time":"2000-01-01T00:00:01.000Z","values":{"voltage":232},"units":{"voltage":"V"},"quality":"good"}`,
		)
	})
}

func TestABadValueIsAnEmptyPayloadWhereThereIsOnlyTheValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		b := start(t, Config{Retain: true, Config: format.Config{Format: format.Value}}, a)
		b.want(startOffline)
		say := func(s point.Sample) { updates <- point.Update{Device: "meter1", Samples: []point.Sample{s}} }
		say(point.Sample{Point: "voltage", Value: point.OfFloat(231.4)})
		say(point.Sample{Point: "voltage", Quality: point.Bad, Reason: "no answer"})
		b.want(
			`gw/meter1/status {"status":"online","time":"2000-01-01T00:00:00.000Z"} (retained)`,
			`gw/meter1/voltage 231.4 (retained)`,
			`gw/meter1/voltage  (retained)`, // which deletes the retained one
		)
	})
}

func TestATemplateSaysWhatIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, updates := talker(meter()...)
		b := start(t, Config{Config: format.Config{Format: format.Template, Template: `{{if eq .Quality "good"}}{{.Point}}={{index .Unit 0}}{{end}}`}}, a)
		b.want(startOffline)
		say := func(s point.Sample) { updates <- point.Update{Device: "meter1", Samples: []point.Sample{s}} }
		say(point.Sample{Point: "relay", Quality: point.Bad, Reason: "no answer"})
		say(point.Sample{Point: "voltage", Value: point.OfInt(1)})
		say(point.Sample{Point: "relay", Value: point.OfBool(true)}) // has no unit: the template fails
		b.want(
			`gw/meter1/status {"status":"online","time":"2000-01-01T00:00:00.000Z"} (retained)`,
			`gw/meter1/voltage voltage=86`,
		)
		if n := b.Stats().Dropped; n != 1 || b.logs.count("the template fails") != 1 {
			t.Errorf("%d dropped, want 1; %d lines in the log, want 1", n, b.logs.count("the template fails"))
		}
	})
}

func TestAValuesTopicSaysWhereItIsFrom(t *testing.T) {
	g, err := New(Config{ID: "gw", Topic: "site/{device}/x/{point}/{gateway}", QoS: new(int)}, nil, &dropper{}, always, quietLog())
	if err != nil {
		t.Fatal(err)
	}
	from, name, ok := g.Origin("site/meter1/x/voltage/gw")
	if want := (format.Origin{Gateway: "gw", Device: "meter1", Topic: "site/meter1/x/voltage/gw", DeviceTopic: "site/meter1/x/gw"}); !ok || name != "voltage" || from != want {
		t.Errorf("got %+v, %q, %v", from, name, ok)
	}
	for _, other := range []string{"site/meter1/x/voltage/other", "site/meter1/x/voltage", "site/meter1/x/status/gw", "site/meter1/x/set/gw", "site/meter1/x/voltage/gw/set"} {
		if _, _, ok := g.Origin(other); ok {
			t.Errorf("%s is taken for the topic of a value", other)
		}
	}
}
