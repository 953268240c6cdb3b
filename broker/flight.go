package broker

// flight is the packet identifiers that are in use towards a client whose
// session ends with its connection, two bits each. They go round in a range that
// is several times larger than what may be in flight, so that a late or doubled
// acknowledgement does not fit the next message. The zero flight has none.
type flight struct {
	states []byte // four to a byte; grows as identifiers are used
	n      int    // in use
	last   int    // given last
}

// inFlight is what an identifier waits for.
type inFlight byte

const (
	notInFlight  inFlight = iota
	awaitPuback           // QoS 1
	awaitPubrec           // QoS 2
	awaitPubcomp          // QoS 2, PUBREC has come
)

// flightRange is how many identifiers are used where window messages at most are
// in flight.
func flightRange(window int) int { return min(max(8*window, 1024), identifiers) }

func (f *flight) of(id uint16) inFlight {
	if int(id)/4 >= len(f.states) {
		return notInFlight
	}
	return inFlight(f.states[id/4] >> (id % 4 * 2) & 3)
}

func (f *flight) set(id uint16, s inFlight) {
	shift := id % 4 * 2
	f.states[id/4] = f.states[id/4]&^(3<<shift) | byte(s)<<shift
}

// take gives a free identifier, 1 to flightRange(window). Fewer than window are
// in use, so there is one.
func (f *flight) take(window int, s inFlight) uint16 {
	most := flightRange(window)
	for {
		f.last++
		if f.last > most {
			f.last = 1 // [MQTT-2.2.1-3]
		}
		if f.last/4 >= len(f.states) {
			f.states = append(f.states, make([]byte, max(len(f.states), 16))...)
		}
		if id := uint16(f.last); f.of(id) == notInFlight {
			f.set(id, s)
			f.n++
			return id
		}
	}
}

// end takes an identifier out of use.
func (f *flight) end(id uint16) {
	f.set(id, notInFlight)
	f.n--
}

func (s inFlight) qos() byte {
	if s == awaitPuback {
		return 1
	}
	return 2
}
