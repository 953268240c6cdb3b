package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// rounds is how often a proof does what an ordinary run does a few times.
func rounds(ordinary, proof int) int {
	if os.Getenv("HEADGATE_PROOF") != "" {
		return proof
	}
	return ordinary
}

// loaded is a gateway as testdata/e2e/load.toml has it, with publishers at QoS 1
// and 2, subscribers that come back after each end, one that is away, and one in the
// cloud, to which everything goes at QoS 2.
type loaded struct {
	t          testing.TB
	headgate   *process
	publishers []*publisher
	readers    []*subscriber
	cloud      *client
}

func newLoaded(t testing.TB, dataDir string) *loaded {
	t.Helper()
	cloud := brokertest.Start(t)
	l := &loaded{t: t, cloud: dial(t, cloud.Addr, "watcher")}
	l.cloud.subscribe("load/#", 2)
	l.headgate = runHeadgate(t, fill(t, "load.toml", "{DATA}", dataDir, "{CLOUD}", cloud.Addr, "{QOS}", "2"))
	keeper := dial(t, l.headgate.addr(), "keeper", persistent)
	keeper.subscribe("load/#", 2)
	keeper.leave()
	versions := []packet.Version{packet.V311, packet.V5}
	for _, v := range versions {
		l.readers = append(l.readers, subscribeTo(t, l.headgate.addr, fmt.Sprintf("reader %d", v), "load/#", v))
	}
	for _, v := range versions {
		for qos := byte(1); qos <= 2; qos++ {
			l.publishers = append(l.publishers, publishNumbers(t, l.headgate.addr, fmt.Sprintf("load/%d/%d", v, qos), qos, v))
		}
	}
	return l
}

// progress waits until each publisher has n more acknowledged.
func (l *loaded) progress(n int) {
	l.t.Helper()
	for _, p := range l.publishers {
		to := p.acknowledged() + n
		l.headgate.waitFor("the publisher of "+p.topic+" gets on", func() bool {
			select {
			case <-p.done:
				l.t.Fatalf("the publisher of %s has given up", p.topic)
			default:
			}
			return p.acknowledged() >= to
		})
	}
}

// verify ends the publishers, and wants everything to be in the cloud and with
// the subscriber that was away: what was published at QoS 2 once.
func (l *loaded) verify() {
	l.t.Helper()
	keeper := dial(l.t, l.headgate.addr(), "keeper", persistent)
	if !keeper.present {
		l.t.Error("the session of the subscriber that was away is gone")
	}
	for _, p := range l.publishers {
		count := p.finish()
		wantNumbers(l.t, p.topic+" in the cloud", func() []string { return l.cloud.on(p.topic) }, count, p.qos == 2)
		wantNumbers(l.t, p.topic+" with the subscriber that was away", func() []string { return keeper.on(p.topic) }, count, p.qos == 2)
		for _, r := range l.readers {
			wantNumbers(l.t, p.topic+" with "+r.id, func() []string { return r.on(p.topic) }, count, p.qos == 2)
		}
	}
}

func TestKillingItLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	l := newLoaded(t, t.TempDir())
	kills := rounds(3, 500)
	for range kills {
		l.progress(50)
		l.headgate.kill()
		l.headgate.start()
	}
	l.progress(50)
	l.verify()
	l.headgate.terminate()
	t.Logf("killed %d times", kills)
}

func TestSIGTERMEndsItAndLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	l := newLoaded(t, t.TempDir())
	var longest time.Duration
	ends := rounds(2, 50)
	for range ends {
		l.progress(50)
		began := time.Now()
		l.headgate.terminate()
		longest = max(longest, time.Since(began))
		l.headgate.start()
	}
	l.progress(50)
	l.verify()
	t.Logf("ended %d times, in %v at most", ends, longest.Round(time.Millisecond))
}
