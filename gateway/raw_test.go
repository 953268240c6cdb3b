package gateway

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"headgate/gateway/point"
)

// tunnel is an adapter of a device that takes and gives bytes as they are.
func tunnel(write func(context.Context, point.Command) (point.Value, error)) *fakeAdapter {
	return &fakeAdapter{name: "line", write: write, devices: []point.Device{
		{Name: "plc", Raw: true, Points: []point.Info{{Name: "raw", Raw: true}}}, {Name: "meter"},
	}}
}

func TestBytesAreWrittenAsTheyAreAndAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []point.Command
		b := start(t, Config{}, tunnel(func(_ context.Context, cmd point.Command) (point.Value, error) {
			got = append(got, cmd)
			return point.Value{}, nil
		}))
		synctest.Wait()
		b.pub.take()
		const bytes = "{\x00\xff\r\n"
		b.pub.send(Message{Topic: "gw/plc/set", Payload: []byte(bytes)})
		b.want(`gw/plc/set/result {"status":"ok","value":null,` + startTime)
		if len(got) != 1 || got[0] != (point.Command{Device: "plc", Value: point.OfString(bytes)}) {
			t.Errorf("written were %+v", got)
		}
		for topic, reason := range map[string]string{
			"gw/plc/set":     "the payload is empty",
			"gw/meter/set":   `device \"meter\" takes no bytes as they are: a point is set at gw/meter/POINT/set`,
			"gw/nothing/set": `there is no device \"nothing\"`,
			"gw/plc/raw/set": `point \"raw\" of device \"plc\" cannot be written`,
		} {
			m := Message{Topic: topic}
			if topic != "gw/plc/set" {
				m.Payload = []byte("x")
			}
			b.pub.send(m)
			b.want(topic + `/result {"status":"refused","reason":"` + reason + `",` + startTime)
		}
		// It would be sent again at every start.
		b.pub.send(Message{Topic: "gw/plc/set", Payload: []byte("x"), Retain: true})
		b.want()
		if len(got) != 1 {
			t.Errorf("written were %+v", got)
		}
	})
}

func TestBytesThatComeArePublishedAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := tunnel(nil)
		a.run = func(ctx context.Context, emit func(point.Update)) error {
			for _, s := range []point.Sample{{Value: point.OfString("\x02\xff\"")}, {Quality: point.Bad, Reason: "no"}} {
				s.Point, s.Time = "raw", time.Now()
				emit(point.Update{Device: "plc", Samples: []point.Sample{s}})
			}
			<-ctx.Done()
			return ctx.Err()
		}
		b := start(t, Config{Retain: true}, a)
		synctest.Wait()
		var raw []Message
		for _, m := range b.pub.whole() {
			if m.Topic == "gw/plc/raw" {
				raw = append(raw, m)
			}
		}
		if len(raw) != 1 || string(raw[0].Payload) != "\x02\xff\"" || raw[0].Retain {
			t.Errorf("published %+v", raw)
		}
	})
}
