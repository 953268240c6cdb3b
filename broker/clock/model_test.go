package clock

import (
	"math/rand/v2"
	"testing"
	"time"
)

// note is an instant that was noted, with what the model knows of it.
type note struct {
	Instant
	at      time.Time // the truth
	ran     time.Duration
	hidden  time.Duration // of what ran since: after the last Tick of a boot
	boots   int
	certain bool // the wall clock was known in its boot, sooner or later
}

// history is a machine with what really happened.
type history struct {
	*machine
	t      *testing.T
	rng    *rand.Rand
	clock  *Clock
	record []byte
	ran    time.Duration // of all boots
	boots  int
	synced int // the last boot that was synced
	ticked time.Time
	notes  []note
}

func (h *history) upTo(most time.Duration) time.Duration {
	return time.Duration(h.rng.Int64N(int64(most/time.Millisecond))) * time.Millisecond
}

// run lets the machine run for a while, ticking as the broker does.
func (h *history) run(d time.Duration) {
	for d > 0 {
		step := min(d, Interval-h.now.Sub(h.ticked))
		h.now = h.now.Add(step)
		h.ran += step
		d -= step
		if h.now.Sub(h.ticked) == Interval {
			h.tick()
		}
	}
}

func (h *history) tick() {
	h.record, h.ticked = h.clock.Tick(h.now), h.now
	if h.machine.synced {
		h.synced = h.boots
		for i := range h.notes {
			if n := &h.notes[i]; n.boots == h.boots {
				n.certain = true
			}
		}
	}
}

// begin starts the process.
func (h *history) begin() {
	h.clock = h.start(h.t, h.record)
	h.tick()
}

// fail takes the power away for a while.
func (h *history) fail(off time.Duration) {
	for i := range h.notes {
		n := &h.notes[i]
		from := h.ticked
		if n.at.After(from) {
			from = n.at
		}
		n.hidden += h.now.Sub(from)
	}
	h.boot(off)
	h.boots++
}

func (h *history) note() {
	h.notes = append(h.notes, note{Instant: h.clock.At(h.now), at: h.now, ran: h.ran, boots: h.boots,
		certain: h.machine.synced || h.synced == h.boots})
}

// oneBoot is a boot with a wall clock that is wrong by years until NTP comes, if
// it does, a restart of the process perhaps, and the end without a warning.
func (h *history) oneBoot() {
	h.fail(h.upTo(90 * 24 * time.Hour))
	h.machine.synced, h.off = false, h.upTo(2*years50)-years50
	h.begin()
	if h.rng.IntN(3) == 0 {
		h.note()
	}
	h.run(h.upTo(3 * time.Hour))
	if h.rng.IntN(2) == 0 {
		h.machine.synced, h.off = true, 0
		h.tick()
	}
	if h.rng.IntN(3) == 0 {
		h.note()
	}
	h.run(h.upTo(3 * time.Hour))
	if h.rng.IntN(4) == 0 {
		h.tick()
		h.begin()
	}
	if h.rng.IntN(4) == 0 { // stopped as it should be
		h.tick()
	}
}

// Over random boots Elapsed is never more than what has passed, and never less
// than what the machine has run, but for what a power failure hides. Where both
// ends are certain it is exact. The instants and the record come back from their
// encoded form.
func TestElapsedOverRandomBoots(t *testing.T) {
	for seed := range uint64(30) {
		h := &history{machine: newMachine(), t: t, rng: rand.New(rand.NewPCG(seed, 1))}
		h.begin()
		exact := 0
		for range 40 {
			h.oneBoot()
			certain := h.synced == h.boots
			for _, n := range h.notes {
				since, _, err := CutInstant(n.Append(nil))
				if err != nil {
					t.Fatal(err)
				}
				got := h.clock.Since(since, h.now)
				passed, ran := h.now.Sub(n.at), h.ran-n.ran
				switch {
				case got > passed:
					t.Fatalf("seed %d: %v have passed since %+v, got %v", seed, passed, n, got)
				case got < ran-n.hidden:
					t.Fatalf("seed %d: the machine ran for %v since %+v, got %v", seed, ran, n, got)
				case h.synced <= n.boots && got != ran-n.hidden:
					t.Fatalf("seed %d: nothing but the %v that it ran since %+v is known, got %v", seed, ran, n, got)
				case n.certain && certain && got != passed:
					t.Fatalf("seed %d: got %v since %+v, want exactly %v", seed, got, n, passed)
				}
				if n.certain && certain && n.boots < h.boots {
					exact++
				}
			}
		}
		if exact == 0 {
			t.Errorf("seed %d: nothing was exact", seed)
		}
	}
}

// With boots folded it stays between the same bounds, but for a share of the
// whole, and it goes on growing: nothing stays for ever.
func TestElapsedOverMoreBootsThanAreKept(t *testing.T) {
	h := &history{machine: newMachine(), t: t, rng: rand.New(rand.NewPCG(1, 2))}
	h.begin()
	h.note()
	for range 5 * maxBoots {
		h.fail(time.Hour)
		h.begin()
		h.run(h.upTo(3 * time.Hour))
		h.tick()
		h.notes = h.notes[max(0, len(h.notes)-2*maxBoots):]
		h.note()
	}
	if n := len(h.clock.known.Load().boots); n != maxBoots {
		t.Errorf("%d boots are kept, want %d", n, maxBoots)
	}
	if n := len(h.record); n > 4000 {
		t.Errorf("the record has %d bytes", n)
	}
	slack := h.ran / maxBoots * 4
	for _, n := range h.notes {
		got := h.clock.Since(n.Instant, h.now)
		if ran := h.ran - n.ran; got > ran || got < ran-slack {
			t.Errorf("the machine ran for %v since boot %d of %d, got %v", ran, n.boots, h.boots, got)
		}
	}
}
