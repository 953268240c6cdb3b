package modbus

import (
	"context"
	"errors"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/gateway/point"
)

// statuses runs the bus for so long, and gives when each device was said to be
// offline (minus) or online, in whole seconds since the start.
func (b *bus) statuses(d time.Duration) map[string][]int {
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	time.AfterFunc(d, cancel)
	began, said := time.Now(), map[string][]int{}
	b.Run(ctx, func(u point.Update) {
		for _, s := range u.Samples {
			b.samples(u.Device, s)
		}
		if u.Status == nil {
			return
		}
		at := int(time.Since(began) / time.Second)
		if !u.Status.Online {
			at = -at
		}
		said[u.Device] = append(said[u.Device], at)
	})
	return said
}

// TestAUnitIsOfflineAfterSoManyMissesAndSoLong: both have to be.
func TestAUnitIsOfflineAfterSoManyMissesAndSoLong(t *testing.T) {
	for _, c := range []struct {
		misses     int
		after      time.Duration
		silent     time.Duration // from second 60 on
		least, top int           // when it is said to be offline; 0: never
	}{
		{misses: 2, after: 0, silent: time.Hour, least: 61, top: 63},
		{misses: 2, after: time.Minute, silent: time.Hour, least: 120, top: 122},
		{misses: 2, after: time.Minute, silent: 50 * time.Second},
		{misses: 20, after: 0, silent: time.Hour, least: 77, top: 80},
		{misses: 20, after: 10 * time.Second, silent: time.Hour, least: 77, top: 80},
		{misses: 20, after: 0, silent: 15 * time.Second},
	} {
		d := every(time.Second, deviceOf("m", 1, holding("x", 0)))
		d.OfflineMisses, d.OfflineAfter = c.misses, c.after
		simulate(t, line9600, turnaround, 300*time.Millisecond, func(b *bus) {
			b.Unit(1).SetHolding(0, 1)
			time.AfterFunc(60*time.Second, func() {
				remove := b.Unit(1).Inject(modbussim.Fault{Silent: true})
				time.AfterFunc(c.silent, remove)
			})
			bad := 0
			b.samples = func(_ string, s point.Sample) {
				if s.Quality == point.Bad {
					bad++
				}
			}
			said := b.statuses(10 * time.Minute)["m"]
			offline := 0
			for _, at := range said {
				if at < 0 {
					offline = -at
				}
			}
			if offline < c.least || offline > c.top {
				t.Errorf("%d misses and %v: it is said to be offline at %d s, want %d to %d: %v", c.misses, c.after, offline, c.least, c.top, said)
			}
			// What is asked for meanwhile is bad all the same.
			if bad == 0 {
				t.Errorf("%d misses and %v: no value is bad", c.misses, c.after)
			}
		}, d)
	}
}

// TestAUnitThatIsAwayCostsItsNeighboursLittleEvenIfItIsNotCalledOffline for long.
func TestAUnitThatIsAwayCostsItsNeighboursLittleEvenIfItIsNotCalledOffline(t *testing.T) {
	dead := every(100*time.Millisecond, deviceOf("dead", 1, holding("x", 0)))
	dead.OfflineAfter = time.Hour
	simulate(t, line9600, turnaround, time.Second, func(b *bus) {
		b.Unit(2).SetHolding(0, 1)
		if n := b.counted(10 * time.Minute)["well/x"]; n < 5700 {
			t.Errorf("the neighbour had %d of 6000 polls", n)
		}
	}, dead, every(100*time.Millisecond, deviceOf("well", 2, holding("x", 0))))
}

// TestALinkThatIsDownMakesADeviceOfflineOnceItHasBeenSoForLong, and one that bears
// nothing at once.
func TestALinkThatIsDownMakesADeviceOfflineOnceItHasBeenSoForLong(t *testing.T) {
	patient := every(time.Second, deviceOf("patient", 1, holding("x", 0)))
	patient.OfflineAfter = time.Minute
	for down, want := range map[time.Duration]bool{30 * time.Second: false, 3 * time.Minute: true} {
		simulate(t, line9600, turnaround, time.Second, func(b *bus) {
			b.Unit(1).SetHolding(0, 1)
			b.Unit(2).SetHolding(0, 1)
			dial := b.transport.dial
			began := time.Now()
			b.transport.dial = func(ctx context.Context) (stream, error) {
				if since := time.Since(began); since > 10*time.Second && since < 10*time.Second+down {
					return nil, errors.New("it is not there")
				}
				return dial(ctx)
			}
			time.AfterFunc(11*time.Second, b.Disconnect)
			said := b.statuses(10 * time.Minute)
			if got := said["hasty"]; len(got) < 3 || got[1] != -11 {
				t.Errorf("down for %v: the one that bears nothing was offline and online at %v s", down, got)
			}
			got := said["patient"]
			offline := len(got) > 1 && got[1] < 0
			if offline != want || offline && (got[1] > -71 || got[1] < -74) {
				t.Errorf("down for %v: the one that bears a minute was offline and online at %v s", down, got)
			}
			if last := got[len(got)-1]; last < 0 {
				t.Errorf("down for %v: it has not come back: %v", down, got)
			}
		}, patient, every(time.Second, deviceOf("hasty", 2, holding("x", 0))))
	}
}
