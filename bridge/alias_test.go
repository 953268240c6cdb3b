package bridge

import (
	"fmt"
	"strings"
	"testing"

	"headgate/broker/packet"
)

func aliasMaximum(n uint16) func(*packet.Connack) {
	return func(a *packet.Connack) {
		a.Properties.TopicAliasMaximum = n
		a.Properties.Set(packet.PropTopicAliasMaximum)
	}
}

// sentAs gives a PUBLISH as "topic", "topic=alias" or "=alias".
func sentAs(p *packet.Publish) string {
	if !p.Properties.Has(packet.PropTopicAlias) {
		return string(p.Topic)
	}
	return fmt.Sprintf("%s=%d", p.Topic, p.Properties.TopicAlias)
}

func TestTopicsThatComeAgainAreSentByTheirAlias(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	for _, topic := range []string{"a", "b", "a", "c", "b", "c", "a"} {
		src.put("field/"+topic, topic)
	}
	start(t, config(u.addr), src, hasty)
	c := u.welcome(aliasMaximum(2))
	var got []string
	for range 7 {
		got = append(got, sentAs(c.expectPublish()))
	}
	if want := "plant/a=1 plant/b=2 =1 plant/c =2 plant/c =1"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, " "), want)
	}
	// An alias ends with its connection.
	c.net.Close()
	c = u.welcome(aliasMaximum(1))
	got = nil
	for range 3 {
		got = append(got, sentAs(c.expectPublish()))
	}
	if want := "plant/a=1 plant/b =1"; strings.Join(got, " ") != want {
		t.Errorf("after a reconnect: got %q, want %q", strings.Join(got, " "), want)
	}
	c.net.Close()
	c = u.welcome(nil)
	for range 3 {
		if got := sentAs(c.expectPublish()); strings.Contains(got, "=") {
			t.Errorf("got %q of an upstream that takes no alias", got)
		}
	}
}

// A packet that has room for the topic alone goes without an alias, and the
// alias that it did not get is free.
func TestAnAliasMakesNoPacketTooLarge(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	// type, length, topic with its length, identifier, property length, payload
	const limit = 2 + 2 + len("plant/a") + 2 + 1 + 50
	src.put("field/a", strings.Repeat("x", 50), strings.Repeat("x", 51), strings.Repeat("x", 20), "1")
	b := start(t, config(u.addr), src)
	c := u.welcome(func(a *packet.Connack) {
		aliasMaximum(10)(a)
		a.Properties.MaximumPacketSize = uint32(limit)
		a.Properties.Set(packet.PropMaximumPacketSize)
	})
	var got []string
	for range 3 {
		p := c.expectPublish()
		got = append(got, fmt.Sprint(sentAs(p), ":", len(p.Payload)))
	}
	if want := "plant/a:50 plant/a=1:20 =1:1"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, " "), want)
	}
	if n := b.Stats().GivenUp["larger than the upstream's Maximum Packet Size"]; n != 1 {
		t.Errorf("%d given up, want 1", n)
	}
}

func TestAliasesAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	a := aliases{max: 65535}
	given := 0
	for i := range 100 {
		p := packet.Publish{Topic: []byte(strings.Repeat("t", 1000) + fmt.Sprint(i))}
		if a.shorten(&p) {
			a.told(&p)
			given++
		}
	}
	if given != maxAliasTopics/1002 {
		t.Errorf("%d of topics of about 1002 bytes have an alias", given)
	}
}

func TestAliasesSaveMostOfATopicsBytes(t *testing.T) {
	t.Parallel()
	const messages = 500
	sent := func(welcome func(*packet.Connack)) (bytes int) {
		u, src := listenUpstream(t), newMemory(t)
		cfg := config(u.addr)
		cfg.Up = []Up{{Filter: "#"}}
		for i := range messages {
			src.put(fmt.Sprintf("boiler-house/meter%d/voltage", i%8), `{"value":231.4,"unit":"V","time":"2026-11-28T12:00:00.000Z","quality":"good"}`)
		}
		start(t, cfg, src)
		c := u.welcome(welcome)
		for range messages {
			in := c.expect(packet.PUBLISH)
			bytes += in.Size + in.Remaining
		}
		return bytes
	}
	named, short := sent(nil), sent(aliasMaximum(10))
	topics := messages * len("boiler-house/meter1/voltage")
	t.Logf("%d bytes without aliases, %d with (%d %% less)", named, short, 100*(named-short)/named)
	if saved := named - short; saved < topics*8/10 {
		t.Errorf("saved %d bytes of %d of topic names", saved, topics)
	}
}
