package bridge

import (
	"fmt"
	"strings"
	"testing"

	"headgate/broker/packet"
	"headgate/gateway/format"
)

// originOf reads topics of the shape field/DEVICE/POINT.
func originOf(topic string) (from format.Origin, pointName string, ok bool) {
	levels := strings.Split(topic, "/")
	if len(levels) != 3 || levels[0] != "field" || levels[2] == "status" {
		return from, "", false
	}
	return format.Origin{Gateway: "gw", Device: levels[1], Topic: topic, DeviceTopic: "field/" + levels[1]}, levels[2], true
}

// sampleAt is the gateway's JSON of a value so many milliseconds after a time.
func sampleAt(ms int, value string) string {
	return fmt.Sprintf(`{"value":%s,"unit":"V","time":"2026-11-23T18:04:%02d.%03dZ","quality":"good"}`, value, ms/1000, ms%1000)
}

const badSample = `{"value":null,"unit":"V","time":"2026-11-23T18:04:05.000Z","quality":"bad","reason":"no answer"}`

func inFormat(cfg Config, f format.Config) Config {
	cfg.Origin, cfg.Up[0].Config = originOf, f
	return cfg
}

func TestASampleGoesUpInItsFormatAndAllElseAsItIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format            format.Config
		want, contentType string
	}{
		{format.Config{}, sampleAt(5000, "231.4"), ""},
		{format.Config{Format: format.Value}, "231.4", "text/plain"},
		{format.Config{Format: format.Influx}, "meter,device=meter,gateway=gw,unit=V power=231.4 1795457045000000000", "text/plain"},
		{format.Config{Format: format.Template, Template: "{{.Point}}:{{.Value}}"}, "power:231.4", ""},
		{format.Config{Format: format.CBOR}, "\xa4evalue\xfb@l\xec\xcc\xcc\xcc\xcc\xcddunitaVdtime\xc1\xfbA\xda\xc1 \x05@\x00\x00gqualitydgood", "application/cbor"},
	} {
		u, src := listenUpstream(t), newMemory(t)
		start(t, inFormat(config(u.addr), c.format), src)
		src.put("field/meter/power", sampleAt(5000, "231.4"))
		src.put("field/meter/power", "something else")
		src.put("field/meter/status", `{"status":"online","time":"2026-11-23T18:04:05.000Z"}`)
		conn := u.welcome(nil)
		if p := conn.expectPublish(); string(p.Payload) != c.want || string(p.Topic) != "plant/meter/power" || string(p.Properties.ContentType) != c.contentType {
			t.Errorf("%q: got %s %q as %q, want %q", c.format.Format, p.Topic, p.Payload, p.Properties.ContentType, c.want)
		}
		if p := conn.expectPublish(); string(p.Payload) != "something else" || p.Properties.Has(packet.PropContentType) {
			t.Errorf("%q: got %q", c.format.Format, p.Payload)
		}
		if p := conn.expectPublish(); !strings.HasPrefix(string(p.Payload), `{"status":"online"`) {
			t.Errorf("%q: got %q", c.format.Format, p.Payload)
		}
	}
}

func TestWhatATemplateLeavesOutIsLetGoAndWhereItFailsIsGivenUp(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, inFormat(config(u.addr), format.Config{Format: format.Template, Template: `{{if eq .Quality "good"}}{{index .Unit 0}}{{end}}`}), src)
	src.put("field/meter/power", badSample, strings.Replace(sampleAt(0, "1"), `"unit":"V",`, "", 1), sampleAt(0, "2"))
	c := u.welcome(nil)
	p := c.expectPublish()
	if string(p.Payload) != "86" {
		t.Errorf("got %q", p.Payload)
	}
	c.ack(packet.PUBACK, p.PacketID, 0)
	eventually(t, "all are let go", func() bool { return src.left() == 0 })
	if st := b.Stats(); st.Skipped != 1 || st.GivenUp["the template fails"] != 1 || st.Forwarded != 1 {
		t.Errorf("got %+v", st)
	}
}

func TestAFaultyFormatIsNamedWithItsKey(t *testing.T) {
	for want, f := range map[string]format.Config{
		`up[0].format: "xml": want`:     {Format: "xml"},
		"up[0].template: missing":       {Format: format.Template},
		`up[0].measurement: the format`: {Measurement: "m"},
	} {
		cfg := inFormat(config("127.0.0.1:1883"), f)
		if got := faults(&cfg); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
