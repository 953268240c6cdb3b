package main

import (
	"os"
	"testing"
	"time"

	"headgate/broker/brokertest"
)

// rounds is how often a proof does what an ordinary run does a few times.
func rounds(ordinary, proof int) int {
	if os.Getenv("HEADGATE_PROOF") != "" {
		return proof
	}
	return ordinary
}

// loaded is a gateway as testdata/e2e/load.toml has it, with publishers at QoS 1
// and 2, a subscriber that is away and one in the cloud.
type loaded struct {
	t        testing.TB
	headgate *process
	once     *publisher // QoS 2
	atLeast  *publisher // QoS 1
	cloud    *client
}

func newLoaded(t testing.TB, upstreamQoS string) *loaded {
	t.Helper()
	cloud := brokertest.Start(t)
	l := &loaded{t: t, cloud: dial(t, cloud.Addr, "watcher")}
	l.cloud.subscribe("load/#", 2)
	l.headgate = runHeadgate(t, fill(t, "load.toml", "{DATA}", t.TempDir(), "{CLOUD}", cloud.Addr, "{QOS}", upstreamQoS))
	keeper := dial(t, l.headgate.addr(), "keeper", persistent)
	keeper.subscribe("load/#", 2)
	keeper.leave()
	l.once = publishNumbers(t, l.headgate.addr, "load/2", 2)
	l.atLeast = publishNumbers(t, l.headgate.addr, "load/1", 1)
	return l
}

// progress waits until each publisher has n more acknowledged.
func (l *loaded) progress(n int) {
	l.t.Helper()
	once, atLeast := l.once.acknowledged()+n, l.atLeast.acknowledged()+n
	l.headgate.waitFor("the publishers get on", func() bool {
		return l.once.acknowledged() >= once && l.atLeast.acknowledged() >= atLeast
	})
}

// verify ends the publishers, and wants everything to be in the cloud and with
// the subscriber that was away: what was published at QoS 2 once.
func (l *loaded) verify() {
	l.t.Helper()
	once, atLeast := l.once.finish(), l.atLeast.finish()
	keeper := dial(l.t, l.headgate.addr(), "keeper", persistent)
	if !keeper.present {
		l.t.Error("the session of the subscriber that was away is gone")
	}
	for _, at := range []struct {
		name string
		in   *client
	}{{"the cloud", l.cloud}, {"the subscriber that was away", keeper}} {
		arrived(l.t, "all of QoS 2 is with "+at.name, func() []string { return at.in.on("load/2") }, once)
		arrived(l.t, "all of QoS 1 is with "+at.name, func() []string { return at.in.on("load/1") }, atLeast)
		two, one := count(at.in.on("load/2"), once), count(at.in.on("load/1"), atLeast)
		if two.repeated+two.disorder+len(two.unknown) > 0 || one.disorder+len(one.unknown) > 0 {
			l.t.Errorf("with %s: QoS 2: %v; QoS 1: %v", at.name, two, one)
		}
		l.t.Logf("with %s: all %d of QoS 2, all %d of QoS 1, %d of these repeated", at.name, once, atLeast, one.repeated)
	}
}

func TestKillingItLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	l := newLoaded(t, "2")
	kills := rounds(3, 100)
	for range kills {
		l.progress(100)
		l.headgate.kill()
		l.headgate.start()
	}
	l.progress(100)
	l.verify()
	l.t.Logf("%d times killed", kills)
	l.headgate.terminate()
}

func TestSIGTERMEndsItAndLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	l := newLoaded(t, "2")
	var longest time.Duration
	ends := rounds(2, 30)
	for range ends {
		l.progress(100)
		began := time.Now()
		l.headgate.terminate()
		longest = max(longest, time.Since(began))
		l.headgate.start()
	}
	l.progress(100)
	l.verify()
	l.t.Logf("%d times ended by SIGTERM, in %v at most", ends, longest.Round(time.Millisecond))
}
