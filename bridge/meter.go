package bridge

import "time"

const (
	meterEvery = time.Second // between two samples
	meterTime  = 10          // samples that count
)

// meter measures how fast messages go up and the backlog shrinks, over the last
// ten seconds of a connection.
type meter struct{ samples []sample } // oldest first

type sample struct {
	at        time.Time
	forwarded uint64
	backlog   int64
}

// due says that it is time for a sample.
func (m *meter) due(now time.Time) bool {
	return len(m.samples) == 0 || now.Sub(m.samples[len(m.samples)-1].at) >= meterEvery
}

func (m *meter) add(s sample) {
	if len(m.samples) > meterTime {
		m.samples = append(m.samples[:0], m.samples[1:]...)
	}
	m.samples = append(m.samples, s)
}

// reset is for the end of a connection.
func (m *meter) reset() { m.samples = m.samples[:0] }

// rate is how many messages a second went up.
func (m *meter) rate() float64 {
	if len(m.samples) < 2 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	return float64(last.forwarded-first.forwarded) / last.at.Sub(first.at).Seconds()
}

// left is how long a backlog takes that shrinks as it did; 0 if it does not.
func (m *meter) left(backlog int64) time.Duration {
	if len(m.samples) < 2 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	shrunk := first.backlog - last.backlog
	if shrunk <= 0 {
		return 0
	}
	return time.Duration(float64(last.at.Sub(first.at)) * float64(backlog) / float64(shrunk))
}
