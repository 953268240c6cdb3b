package serial

import (
	"testing"
	"time"
)

func TestOnlyALineThatTalksWithoutAPauseIsReadInSteps(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	g := newGathering()
	defer g.timer.Stop()
	talk := func(times int, every time.Duration) (waits int) {
		for range times {
			now = now.Add(every)
			d := g.next(now, 23)
			if d < 0 || d > gatherStep {
				t.Fatalf("a wait of %v", d)
			}
			if d > 0 {
				waits++
				if at := now.Add(d).UnixNano(); at%int64(gatherStep) != 0 {
					t.Errorf("the next read is %v off the step", time.Duration(at%int64(gatherStep)))
				}
			}
			now = now.Add(d)
		}
		return waits
	}
	if n := talk(100, 20*time.Millisecond); n != 0 {
		t.Errorf("a line that speaks every 20 ms waited %d times", n)
	}
	if n := talk(gatherReads-2, time.Millisecond); n != 0 {
		t.Errorf("a short message waited %d times", n)
	}
	if n := talk(100, time.Millisecond); n != 100 {
		t.Errorf("a line without a pause waited %d times of 100", n)
	}
	if d := g.next(now.Add(time.Millisecond), gatherBytes); d != 0 {
		t.Errorf("a read of %d bytes is followed by a wait of %v", gatherBytes, d)
	}
	if n := talk(1, time.Second); n != 0 {
		t.Error("the first piece after a silence waited")
	}
}

func TestALineOfWhichSomebodyWaitsForAnAnswerIsReadAtOnce(t *testing.T) {
	e := listen(t, Config{})
	if !e.patient() {
		t.Error("a line that nobody waits for is not patient")
	}
	e.await(&pending{})
	if e.patient() {
		t.Error("somebody waits for an answer")
	}
	e.await(nil)
	if !e.patient() {
		t.Error("the answer has come")
	}
	if e := listen(t, Config{Frame: Frame{Gap: 2 * time.Millisecond}}); e.patient() {
		t.Error("silences of 2 ms are to be measured")
	}
}
