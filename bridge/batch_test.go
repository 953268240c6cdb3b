package bridge

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"headgate/broker/packet"
	"headgate/gateway/format"
)

// inBatches has an hour of patience where nothing else is said: only what is full, or
// told to go, goes.
func inBatches(cfg Config, b Batch) Config {
	fill(&b.Interval, time.Hour)
	cfg.Up = slices.Clone(cfg.Up)
	cfg.Origin, cfg.Up[0].Batch = originOf, b
	return cfg
}

// entries gives what stands in a batch of JSON, as "topic payload".
func entries(t testing.TB, payload []byte) (lines []string) {
	t.Helper()
	var batch []struct {
		Topic   string          `json:"topic"`
		Payload json.RawMessage `json:"payload"`
		Text    *string         `json:"text"`
		Base64  []byte          `json:"base64"`
		Retain  bool            `json:"retain"`
	}
	if err := json.Unmarshal(payload, &batch); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	for _, m := range batch {
		line := m.Topic + " " + string(m.Payload)
		if m.Text != nil {
			line = m.Topic + " text " + *m.Text
		} else if m.Base64 != nil {
			line = fmt.Sprintf("%s bytes %x", m.Topic, m.Base64)
		}
		if m.Retain {
			line += " (retain)"
		}
		lines = append(lines, line)
	}
	return lines
}

func numbersOf(t testing.TB, p *packet.Publish) string {
	t.Helper()
	var s []string
	for _, line := range entries(t, p.Payload) {
		s = append(s, strings.TrimPrefix(line, "plant/a "))
	}
	return strings.Join(s, " ")
}

func TestABatchLeavesTheQueueWhenTheUpstreamHasAcknowledgedTheWhole(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, inBatches(config(u.addr), Batch{Messages: 3}), src)
	c := u.welcome(nil)
	eventually(t, "there is no backlog", src.isLive)
	src.put("field/a", "1", "2", "3", "4", "5", "6", "7")
	first, second := c.expectPublish(), c.expectPublish()
	if got := numbersOf(t, first) + "|" + numbersOf(t, second); got != "1 2 3|4 5 6" {
		t.Errorf("got %s", got)
	}
	if string(first.Topic) != "plant/gw/batch" || first.QoS != 1 || string(first.Properties.ContentType) != "application/json" || first.Retain {
		t.Errorf("got %+v", first)
	}
	c.expectNothing("the third is not full")
	if src.left() != 7 || b.Stats().InFlight != 7 {
		t.Errorf("%d left, %d in flight; want 7 and 7", src.left(), b.Stats().InFlight)
	}
	c.ack(packet.PUBACK, second.PacketID, 0)
	eventually(t, "the second is let go", func() bool { return slices.Equal(src.ackedSoFar(), []uint16{4, 5, 6}) })
	c.ack(packet.PUBACK, first.PacketID, 0)
	eventually(t, "the first is let go", func() bool { return src.left() == 1 })
	if st := b.Stats(); st.Forwarded != 6 || st.Batches != 2 {
		t.Errorf("got %+v", st)
	}
}

func TestABatchGoesWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inBatches(config(u.addr), Batch{Interval: 20 * time.Millisecond}), src)
	c := u.welcome(nil)
	for _, n := range []string{"1", "2"} {
		src.put("field/a", n)
		p := c.expectPublish()
		if got := numbersOf(t, p); got != n {
			t.Errorf("got %s, want %s", got, n)
		}
		c.ack(packet.PUBACK, p.PacketID, 0)
	}
}

func TestABatchIsNeverLargerThanItMayBe(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inBatches(config(u.addr), Batch{Bytes: 4000}), src)
	for range 50 {
		src.put("field/a", strings.Repeat("x", 900))
	}
	c := u.welcome(func(a *packet.Connack) {
		a.Properties.MaximumPacketSize = 3000
		a.Properties.Set(packet.PropMaximumPacketSize)
	})
	for sent := 0; sent < 48; {
		p := c.expectPublish()
		n := len(entries(t, p.Payload))
		if n != 2 || len(p.Payload) > 3000 {
			t.Fatalf("got %d messages in %d bytes, want 2", n, len(p.Payload))
		}
		sent += n
		c.ack(packet.PUBACK, p.PacketID, 0)
	}
}

func TestABatchThatIsCutOffGoesAgainWhole(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inBatches(config(u.addr), Batch{Messages: 3}), src)
	src.put("field/a", "1", "2", "3", "4", "5")
	c := u.welcome(nil)
	c.expectPublish()
	c.net.Close()
	c = u.welcome(resumed)
	p := c.expectPublish()
	if got := numbersOf(t, p); got != "1 2 3" || !p.Dup || string(p.Properties.User[0].Key) != AgeProperty {
		t.Errorf("got %s, DUP %v, %v", got, p.Dup, p.Properties.User)
	}
	c.ack(packet.PUBACK, p.PacketID, 0)
	// The backlog has no more: the rest does not wait for others.
	p = c.expectPublish()
	if got := numbersOf(t, p); got != "4 5" {
		t.Errorf("got %s", got)
	}
	c.ack(packet.PUBACK, p.PacketID, 0)
	eventually(t, "all are let go", func() bool { return src.left() == 0 })
	if len(src.twice) > 0 {
		t.Errorf("acknowledged twice: %v", src.twice)
	}
}

func TestTheBacklogAndWhatComesAreNeverInOneBatch(t *testing.T) {
	t.Parallel()
	for _, replay := range []string{replayInOrder, ReplayLiveFirst} {
		u, src := listenUpstream(t), newMemory(t)
		src.liveFirst = replay == ReplayLiveFirst
		cfg := inBatches(config(u.addr), Batch{Messages: 4})
		cfg.Replay = replay
		src.put("field/a", "1", "2", "3", "4", "5", "6")
		start(t, cfg, src)
		c := u.welcome(nil)
		p := c.expectPublish()
		if got := numbersOf(t, p); got != "1 2 3 4" {
			t.Errorf("%s: got %s", replay, got)
		}
		src.put("field/a", "7", "8", "9", "10")
		got := []string{numbersOf(t, c.expectPublish()), numbersOf(t, c.expectPublish())}
		slices.Sort(got)
		if !slices.Equal(got, []string{"5 6", "7 8 9 10"}) {
			t.Errorf("%s: got %q", replay, got)
		}
	}
}

func TestInOrderTheBacklogGoesBeforeWhatComes(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	src.put("field/a", "1", "2", "3")
	start(t, inBatches(config(u.addr), Batch{Messages: 2}), src)
	c := u.welcome(nil)
	src.put("field/a", "4", "5", "6", "7", "8")
	var all []string
	for len(all) < 7 {
		all = append(all, strings.Fields(numbersOf(t, c.expectPublish()))...)
	}
	if got := strings.Join(all, " "); !strings.HasPrefix("1 2 3 4 5 6 7 8", got) {
		t.Errorf("got %s", got)
	}
}

func TestABatchIsOneMessageToReceiveMaximum(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inBatches(config(u.addr), Batch{Messages: 10}), src)
	src.put("field/a", numbers(30)...)
	c := u.welcome(func(a *packet.Connack) {
		a.Properties.ReceiveMaximum = 1
		a.Properties.Set(packet.PropReceiveMaximum)
	})
	for range 3 {
		p := c.expectPublish()
		if n := len(entries(t, p.Payload)); n != 10 {
			t.Errorf("got %d messages, want 10", n)
		}
		c.expectNothing("one is unanswered")
		c.ack(packet.PUBACK, p.PacketID, 0)
	}
	eventually(t, "all are let go", func() bool { return src.left() == 0 })
}

func TestNoBatchIsWaitedForThatCannotBeFilled(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	cfg := config(u.addr)
	cfg.Up = []Up{{Filter: "field/a", LocalPrefix: "field/", RemotePrefix: "plant/"}, {Filter: "field/b", LocalPrefix: "field/", RemotePrefix: "plant/"}}
	cfg = inBatches(cfg, Batch{Messages: 6})
	cfg.Up[1].Batch = cfg.Up[0].Batch
	cfg.MaxInFlight = 6
	start(t, cfg, src)
	for range 4 {
		src.put("field/a", "1")
		src.put("field/b", "2")
	}
	c := u.welcome(nil)
	for src.left() > 2 { // those have room to wait for others
		p := c.expectPublish()
		left := src.left()
		c.ack(packet.PUBACK, p.PacketID, 0)
		eventually(t, "it is let go", func() bool { return src.left() < left })
	}
}

func TestARefusedBatchIsGivenUpMessageByMessageAndAFullUpstreamGetsItAgain(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, inBatches(config(u.addr), Batch{Messages: 3}), src)
	c := u.welcome(nil)
	eventually(t, "there is no backlog", src.isLive)
	src.put("field/a", "1", "2", "3", "4", "5", "6", "7")
	first, second := c.expectPublish(), c.expectPublish()
	c.ack(packet.PUBACK, first.PacketID, packet.NotAuthorized)
	eventually(t, "the first is given up", func() bool { return src.left() == 4 })
	c.ack(packet.PUBACK, second.PacketID, packet.QuotaExceeded)
	again := c.expectPublish()
	if got := numbersOf(t, again); got != "4 5 6" {
		t.Errorf("got %s", got)
	}
	c.ack(packet.PUBACK, again.PacketID, 0)
	eventually(t, "it is let go", func() bool { return src.left() == 1 })
	if st := b.Stats(); st.GivenUp["not authorized"] != 3 || st.Forwarded != 3 {
		t.Errorf("got %v, %d forwarded", st.GivenUp, st.Forwarded)
	}
}

func TestABatchOfQoS0IsLetGoWhenItIsWritten(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, withQoS(inBatches(config(u.addr), Batch{Messages: 3}), 0), src)
	src.put("field/a", "1", "2", "3")
	c := u.welcome(nil)
	if p := c.expectPublish(); p.QoS != 0 || p.PacketID != 0 {
		t.Errorf("got %+v", p)
	}
	eventually(t, "all are let go", func() bool { return src.left() == 0 && b.Stats().Forwarded == 3 })
}

func TestWhatHasPropertiesOfItsOwnGoesAloneAndBehindWhatWasGathered(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inBatches(config(u.addr), Batch{Messages: 10}), src)
	src.put("field/a", "1", "2")
	m := Message{Topic: "field/a", Payload: []byte("3"), QoS: 1}
	m.Properties.ResponseTopic = []byte("answers")
	m.Properties.Set(packet.PropResponseTopic)
	src.add(m, true)
	c := u.welcome(nil)
	if got := numbersOf(t, c.expectPublish()); got != "1 2" {
		t.Errorf("got %s", got)
	}
	if p := c.expectPublish(); string(p.Payload) != "3" || string(p.Properties.ResponseTopic) != "answers" {
		t.Errorf("got %+v", p)
	}
}

func TestABatchOfJSONHasWhateverWasPublished(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inBatches(config(u.addr), Batch{Messages: 4}), src)
	src.put("field/meter/power", sampleAt(5000, "231.4"), "on \"it\"", "\xff\x00")
	src.add(Message{Topic: "field/meter/status", Payload: []byte(`{"status":"online"}`), QoS: 1, Retain: true}, true)
	c := u.welcome(nil)
	got := entries(t, c.expectPublish().Payload)
	want := []string{
		"plant/meter/power " + sampleAt(5000, "231.4"), "plant/meter/power text on \"it\"", "plant/meter/power bytes ff00",
		`plant/meter/status {"status":"online"} (retain)`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("\ngot  %q\nwant %q", got, want)
	}
}

func TestABatchOfLinesHasTheSamplesAndAllElseGoesAlone(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inFormat(inBatches(config(u.addr), Batch{Messages: 10}), format.Config{Format: format.Influx}), src)
	src.put("field/meter/power", sampleAt(5000, "1"), sampleAt(6000, "2"), "neither")
	c := u.welcome(nil)
	want := "meter,device=meter,gateway=gw,unit=V power=1 1795457045000000000\nmeter,device=meter,gateway=gw,unit=V power=2 1795457046000000000"
	if p := c.expectPublish(); string(p.Payload) != want || string(p.Topic) != "plant/gw/batch" {
		t.Errorf("\ngot  %s\nwant %s", p.Payload, want)
	}
	if p := c.expectPublish(); string(p.Payload) != "neither" || string(p.Topic) != "plant/meter/power" {
		t.Errorf("got %s %s", p.Topic, p.Payload)
	}
}

func TestTheSamplesOfAReadGoUpTogether(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inFormat(config(u.addr), format.Config{Format: format.JSONDevice}), src)
	c := u.welcome(nil)
	src.put("field/meter/power", sampleAt(5000, "1"))
	src.put("field/pump/speed", sampleAt(5000, "7"))
	src.put("field/meter/voltage", badSample)
	src.put("field/meter/power", sampleAt(6000, "2"))
	want := map[string]string{
		"plant/meter": `{"time":"2026-11-23T18:04:05.000Z","values":{"power":1,"voltage":null},"units":{"power":"V","voltage":"V"},"quality":"bad","reasons":{"voltage":"no answer"}} {"time":"2026-11-23T18:04:06.000Z","values":{"power":2},"units":{"power":"V"},"quality":"good"} `,
		"plant/pump":  `{"time":"2026-11-23T18:04:05.000Z","values":{"speed":7},"units":{"speed":"V"},"quality":"good"} `,
	}
	got := map[string]string{}
	for range 3 {
		p := c.expectPublish()
		got[string(p.Topic)] += string(p.Payload) + " "
		c.ack(packet.PUBACK, p.PacketID, 0)
	}
	for topic, text := range want {
		if got[topic] != text {
			t.Errorf("%s\ngot  %s\nwant %s", topic, got[topic], text)
		}
	}
	eventually(t, "all are let go", func() bool { return src.left() == 0 })
}

func TestABatchOfReadsHasOneObjectForEach(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	start(t, inFormat(inBatches(config(u.addr), Batch{Messages: 5}), format.Config{Format: format.JSONDevice}), src)
	src.put("field/meter/power", sampleAt(5000, "1"))
	src.put("field/pump/speed", sampleAt(5000, "7"))
	src.put("field/meter/voltage", sampleAt(5000, "230"))
	src.put("field/meter/status", `{"status":"online"}`)
	src.put("field/meter/power", sampleAt(6000, "2"))
	c := u.welcome(nil)
	got := entries(t, c.expectPublish().Payload)
	want := []string{
		`plant/meter {"time":"2026-11-23T18:04:05.000Z","values":{"power":1,"voltage":230},"units":{"power":"V","voltage":"V"},"quality":"good"}`,
		`plant/pump {"time":"2026-11-23T18:04:05.000Z","values":{"speed":7},"units":{"speed":"V"},"quality":"good"}`,
		`plant/meter/status {"status":"online"}`,
		`plant/meter {"time":"2026-11-23T18:04:06.000Z","values":{"power":2},"units":{"power":"V"},"quality":"good"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("\ngot  %q\nwant %q", got, want)
	}
}

func TestACompressedBatchSaysHowAndIsShorter(t *testing.T) {
	t.Parallel()
	unpack := map[string]func([]byte) ([]byte, error){
		compressionZstd: func(b []byte) ([]byte, error) {
			d, err := zstd.NewReader(bytes.NewReader(b))
			if err != nil {
				return nil, err
			}
			defer d.Close()
			return io.ReadAll(d)
		},
		compressionGzip: func(b []byte) ([]byte, error) {
			d, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(d)
		},
	}
	for compression, unpack := range unpack {
		u, src := listenUpstream(t), newMemory(t)
		start(t, inBatches(config(u.addr), Batch{Messages: 100, Compression: compression}), src)
		for i := range 200 {
			src.put("field/meter/power", sampleAt(10*i, fmt.Sprint(i)))
		}
		c := u.welcome(nil)
		for range 2 {
			p := c.expectPublish()
			payload, err := unpack(p.Payload)
			if err != nil || len(entries(t, payload)) != 100 || len(p.Payload) > len(payload)/5 {
				t.Errorf("%s: got %d bytes of %d, %v", compression, len(p.Payload), len(payload), err)
			}
			if u := p.Properties.User[len(p.Properties.User)-1]; string(u.Key) != "content-encoding" && string(p.Properties.User[0].Key) != "content-encoding" || !strings.Contains(fmt.Sprintf("%s", p.Properties.User), compression) {
				t.Errorf("%s: got the user properties %s", compression, p.Properties.User)
			}
		}
	}
}

func TestNothingIsGatheredIntoNothingWhilePaused(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, inBatches(config(u.addr), Batch{Interval: 20 * time.Millisecond}), src)
	c := u.welcome(nil)
	b.Pause()
	eventually(t, "the source knows", func() bool { return !src.isLive() })
	src.put("field/a", "1", "2")
	c.expectNothing("it is paused")
	b.Resume()
	var all []string
	for len(all) < 2 {
		all = append(all, strings.Fields(numbersOf(t, c.expectPublish()))...)
	}
	if got := strings.Join(all, " "); got != "1 2" {
		t.Errorf("got %s", got)
	}
}

func TestAFaultyBatchIsNamedWithItsKey(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string // "" for nothing
	}{
		{func(c *Config) { c.Up[0].Batch = Batch{Messages: 2} }, ""},
		{func(c *Config) { c.Up[0].Batch = Batch{Messages: 1} }, "up[0].batch.messages: 1: want 2 to 20000"},
		{func(c *Config) { c.Up[0].Batch, c.MaxInFlight = Batch{Interval: time.Minute}, 50 }, "up[0].batch.messages: 100: want 2 to 50"},
		{func(c *Config) { c.Up[0].Batch = Batch{Interval: time.Millisecond} }, "up[0].batch.interval: 1ms: want 10ms to 24h"},
		{func(c *Config) { c.Up[0].Batch = Batch{Bytes: 10} }, "up[0].batch.bytes: 10: want 1kB to 4MiB"},
		{func(c *Config) { c.Up[0].Batch = Batch{Compression: "lz4"} }, `up[0].batch.compression: "lz4": want "none", "gzip" or "zstd"`},
		{func(c *Config) { c.Up[0].Batch = Batch{Topic: "a/{topic}"} }, `up[0].batch.topic: "a/{topic}": a batch has messages of several topics`},
		{func(c *Config) { c.Up[0].Batch = Batch{Topic: "a/+"} }, `up[0].batch.topic: "a/+": want no "+" and "#"`},
		{func(c *Config) {
			c.Up[0].Batch, c.Up[0].RemotePrefix, c.Up[0].Topic = Batch{Messages: 2}, "", "x/{1}"
		}, "up[0].batch.topic: missing: the entry's topic is"},
		{func(c *Config) { c.Up[0].Batch, c.Up[0].QoS = Batch{Messages: 2}, new(2) }, "up[0].qos: 2: a batch goes at QoS 0 or 1"},
		{func(c *Config) { c.Up[0].Batch, c.Up[0].MaxQoS = Batch{Messages: 2}, new(2) }, "up[0].max_qos: 2: a batch goes at QoS 0 or 1"},
		{func(c *Config) { c.Up[0].Format, c.Up[0].QoS = format.JSONDevice, new(2) }, "up[0].qos: 2: with format ="},
	} {
		cfg := config("127.0.0.1:1883")
		c.change(&cfg)
		if got := faults(&cfg); c.want == "" && got != nil || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
	batch := parse(t, "[[bridge]]\nname = \"a\"\n[[bridge.up]]\nfilter = \"a/#\"\nbatch = { messages = 50, interval = \"1m\", bytes = \"16KiB\" }").Up[0].Batch
	if batch.Messages != 50 || batch.Interval != time.Minute || batch.Bytes != 16384 {
		t.Errorf("got %+v", batch)
	}
}

// What the page says of a batch is what goes up.
func TestThePageShowsABatch(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../packaging/docs/payloads.md")
	if err != nil {
		t.Fatal(err)
	}
	u, src := listenUpstream(t), newMemory(t)
	cfg := inBatches(config(u.addr), Batch{Messages: 3})
	cfg.Up[0].RemotePrefix = "plant/"
	start(t, cfg, src)
	src.put("field/meter1/voltage", `{"value":231.4,"unit":"V","time":"2026-11-23T18:04:05.123Z","quality":"good"}`)
	src.add(Message{Topic: "field/meter1/status", Payload: []byte(`{"status":"online"}`), QoS: 1, Retain: true}, true)
	src.put("field/printer", "out of paper")
	if p := u.welcome(nil).expectPublish(); !strings.Contains(string(page), "\n    "+string(p.Payload)+"\n") {
		t.Errorf("the page does not show\n    %s", p.Payload)
	}
}
