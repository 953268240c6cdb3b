package bridge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/broker/packet"
	"headgate/gateway/format"
)

func TestBatchesOverALinkThatKeepsBreakingLoseNothingAndKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for _, replay := range []string{replayInOrder, ReplayLiveFirst} {
		t.Run(replay, func(t *testing.T) {
			s, src := newSink(t, true), newMemory(t)
			src.liveFirst = replay == ReplayLiveFirst
			p := proxyTo(t, s.addr())
			p.Delay(500 * time.Microsecond)
			cfg := config(p.Addr())
			cfg.Replay, cfg.MaxInFlight = replay, 60
			up := func(filter string) Up { return Up{Filter: filter, LocalPrefix: "field/", RemotePrefix: "plant/"} }
			cfg.Up = []Up{up("field/a"), up("field/b"), up("field/+/power")}
			cfg = inBatches(cfg, Batch{Messages: 9, Interval: 20 * time.Millisecond, Compression: compressionNone})
			cfg.Up[1].QoS = new(2)
			cfg.Up[2].Batch, cfg.Up[2].Config = Batch{Messages: 7, Interval: 10 * time.Millisecond}, format.Config{Format: format.JSONDevice}
			b := start(t, cfg, src, hasty)
			const n = 1500
			var want [3][]string
			for i := range n {
				number := fmt.Sprintf("%06d", i)
				src.put("field/a", "a"+number)
				src.put("field/b", "b"+number)
				src.put("field/meter/power", sampleAt(i, fmt.Sprint(i)))
				for k, prefix := range []string{"a", "b", "m"} {
					want[k] = append(want[k], prefix+number)
				}
			}
			for range 10 {
				before, forwarded := b.Stats().Reconnects, b.Stats().Forwarded
				eventually(t, "it goes on", func() bool { return src.left() == 0 || b.Stats().Forwarded > forwarded+uint64(rand.N(300)) })
				p.Break()
				eventually(t, "reconnected", func() bool { return b.Stats().Reconnects > before })
			}
			eventually(t, "all arrived", func() bool { return src.left() == 0 })
			got := s.sorted(t)
			if !slices.Equal(got[1], want[1]) && replay == replayInOrder || len(got[1]) != n {
				t.Errorf("of QoS 2 %d arrived of %d, or not in order", len(got[1]), n)
			}
			for _, k := range []int{0, 2} {
				seen := make(map[string]bool)
				first := slices.DeleteFunc(got[k], func(p string) bool { had := seen[p]; seen[p] = true; return had })
				if replay == ReplayLiveFirst {
					slices.Sort(first)
				}
				if !slices.Equal(first, want[k]) {
					t.Errorf("%d arrived of %d, or not in order: %s", len(first), n, firstDifference(first, want[k]))
				}
			}
			if len(src.twice) > 0 || len(b.Stats().GivenUp) > 0 {
				t.Errorf("acknowledged twice: %v; given up: %v", src.twice, b.Stats().GivenUp)
			}
		})
	}
}

// sorted gives what a sink got: the texts of batches, what came alone, and samples.
func (s *sink) sorted(t *testing.T) (got [3][]string) {
	for _, payload := range s.payloads() {
		if !strings.HasPrefix(payload, "[") {
			got[1] = append(got[1], payload)
			continue
		}
		for _, line := range entries(t, []byte(payload)) {
			_, rest, _ := strings.Cut(line, " ")
			if text, ok := strings.CutPrefix(rest, "text "); ok {
				got[0] = append(got[0], text)
				continue
			}
			var i int
			if _, err := fmt.Sscanf(rest[strings.Index(rest, `"power":`):], `"power":%d`, &i); err != nil {
				t.Fatalf("%s: %v", rest, err)
			}
			got[2] = append(got[2], fmt.Sprintf("m%06d", i))
		}
	}
	return got
}

// An upstream that says yes, no and later as it likes has each message once answered.
func TestWhateverAnUpstreamAnswersEachMessageOfABatchIsLetGoOnce(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	cfg := inBatches(config(u.addr), Batch{Messages: 5, Interval: 10 * time.Millisecond})
	cfg.MaxInFlight = 40
	cfg.Up = append([]Up{{Filter: "field/b"}}, cfg.Up...)
	b := start(t, cfg, src, hasty)
	const n = 400
	for i := range n {
		src.put([]string{"field/a", "field/b"}[i%2], fmt.Sprint(i))
	}
	c := u.welcome(func(a *packet.Connack) {
		a.Properties.ReceiveMaximum = 7
		a.Properties.Set(packet.PropReceiveMaximum)
	})
	answers := make(chan *packet.Publish, 100)
	go func() {
		defer close(answers)
		for {
			in, err := c.packets.next()
			if err != nil {
				return
			}
			if p := new(packet.Publish); in.Type == packet.PUBLISH && p.Decode(c.v, in.Flags, slices.Clone(in.body)) == nil {
				answers <- p
			}
		}
	}()
	random := rand.New(rand.NewPCG(3, 4))
	var open []uint16
	deadline := time.Now().Add(hang)
	for src.left() > 0 && time.Now().Before(deadline) {
		select {
		case p := <-answers:
			if slices.Contains(open, p.PacketID) || len(open) == 7 {
				t.Fatalf("%d is on its way twice, or more than 7 are: %v", p.PacketID, open)
			}
			open = append(open, p.PacketID)
		case <-time.After(2 * time.Millisecond):
			if len(open) == 0 {
				continue
			}
			i := random.IntN(len(open))
			reason := []packet.ReasonCode{packet.Success, packet.Success, packet.Success, packet.NotAuthorized, packet.QuotaExceeded}[random.IntN(5)]
			a := packet.Ack{Type: packet.PUBACK, PacketID: open[i], Reason: reason}
			open = slices.Delete(open, i, i+1)
			c.send(a.Append(nil, c.v))
		}
	}
	st := b.Stats()
	if src.left() > 0 || len(src.twice) > 0 || st.Forwarded+st.GivenUp["not authorized"] != n || st.InFlight != 0 {
		t.Errorf("%d left, twice %v, %d forwarded and %v given up of %d, %d in flight", src.left(), src.twice, st.Forwarded, st.GivenUp, n, st.InFlight)
	}
}
