package bridge

import (
	"fmt"
	"time"
)

const (
	defaultBatchMessages = 100
	defaultBatchInterval = 10 * time.Second
	defaultBatchBytes    = 64 << 10

	compressionNone = "none"
	compressionGzip = "gzip"
	compressionZstd = "zstd"

	// deviceInterval is how long the samples of one read are waited for, where they
	// go up as one message and in no batch.
	deviceInterval = 100 * time.Millisecond
)

// Batch is the table batch = { messages = 100, interval = "10s" } of a [[bridge.up]]:
// one PUBLISH has many messages, for links where bytes cost. One of the two is enough.
type Batch struct {
	// Messages is how many messages a batch has at most, from 2 on. Default 100.
	Messages int `toml:"messages"`
	// Interval is how long the first of them waits for the others at most. Default "10s".
	Interval time.Duration `toml:"interval"`
	// Bytes is the size of a batch at most, before it is compressed. Default "64KiB".
	Bytes Size `toml:"bytes"`
	// Compression is "none" (the default), "gzip" or "zstd"; with MQTT 5 the user property "content-encoding" names it.
	Compression string `toml:"compression"`
	// Topic is where batches go; {gateway} is the gateway's id and {client_id} that of the bridge. Default: remote_prefix with
	// the gateway's id and "/batch" behind it.
	Topic string `toml:"topic"`
}

// Size is a number of bytes.
type Size int64

// UnmarshalTOML takes a whole number, or a text such as "64kB" or "64KiB".
func (s *Size) UnmarshalTOML(v any) error {
	n, ok := parseAmount(fmt.Sprint(v))
	if !ok {
		return fmt.Errorf(`%v: want a size, such as "64kB"`, v)
	}
	*s = Size(n)
	return nil
}

// given says that there is the table.
func (b *Batch) given() bool { return *b != (Batch{}) }

func (b *Batch) setDefaults(u *Up, c *Config) {
	if !b.given() {
		return
	}
	fill(&b.Messages, defaultBatchMessages)
	fill(&b.Interval, defaultBatchInterval)
	fill(&b.Bytes, defaultBatchBytes)
	fill(&b.Compression, compressionNone)
	name := b.Topic
	if name == "" {
		name = u.RemotePrefix + "{gateway}/batch"
	}
	u.batchTopic = ""
	if t, err := parseTemplate(name, c); err == nil && len(t) == 1 && t[0].kind == fixed {
		u.batchTopic = t[0].text
	}
}

func (b *Batch) check(u *Up, c *Config, fault func(key, format string, args ...any)) {
	if !b.given() {
		if u.collects() && u.Highest() > 1 {
			fault("qos", "2: with format = %q several messages go as one: want 0 or 1", u.Format)
		}
		return
	}
	if b.Messages < 2 || b.Messages > c.MaxInFlight {
		fault("batch.messages", "%d: want 2 to %d, which is max_in_flight", b.Messages, c.MaxInFlight)
	}
	if b.Interval < 10*time.Millisecond || b.Interval > 24*time.Hour {
		fault("batch.interval", "%v: want 10ms to 24h", b.Interval)
	}
	if b.Bytes < 1000 || b.Bytes > 4<<20 {
		fault("batch.bytes", "%d: want 1kB to 4MiB", b.Bytes)
	}
	switch b.Compression {
	case compressionNone, compressionGzip, compressionZstd:
	default:
		fault("batch.compression", `%q: want "none", "gzip" or "zstd"`, b.Compression)
	}
	switch _, err := parseTemplate(b.Topic, c); {
	case err != nil:
		fault("batch.topic", "%q: %v", b.Topic, err)
	case u.batchTopic == "":
		fault("batch.topic", "%q: a batch has messages of several topics: want {gateway} and {client_id} only", b.Topic)
	case b.Topic == "" && u.Topic != "":
		fault("batch.topic", "missing: the entry's topic is %q, which is that of one message", u.Topic)
	}
	if u.Highest() > 1 {
		key := "qos"
		if u.MaxQoS != nil {
			key = "max_qos"
		}
		fault(key, "2: a batch goes at QoS 0 or 1: after an outage it may be cut otherwise, which QoS 2 does not allow")
	}
	if u.encoded {
		fault("batch", "preset = %q has a format of its own, which has no batches", c.Preset)
	}
}

// collects says that messages of the entry wait for others, to go in one PUBLISH.
func (u *Up) collects() bool { return u.collecting }

// limits gives the bounds of what is collected.
func (u *Up) limits() (messages int, interval time.Duration, bytes int) {
	if b := &u.Batch; b.given() {
		return b.Messages, b.Interval, int(b.Bytes)
	}
	return 1000, deviceInterval, defaultBatchBytes
}
