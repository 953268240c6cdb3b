package bridge

import "headgate/broker/packet"

// maxFences is how many PINGREQs may be unanswered before no more are sent behind
// messages.
const maxFences = 64

// fences make of QoS 0, at which Sparkplug is spoken, something that can be relied
// on: a message is let go when a PINGREQ that was written behind it is answered.
// The upstream reads one connection in order, so it has read the message by then.
// What a lost connection swallowed is not let go, and goes again in the next one.
type fences struct {
	on     bool
	behind []uint16   // identifiers of messages in the buffer or written, behind the last PINGREQ
	sent   [][]uint16 // those before each PINGREQ that is unanswered
}

// pinged is called with each PINGREQ that enters the buffer, session.mu held.
func (f *fences) pinged() {
	if f.on {
		f.sent = append(f.sent, f.behind)
		f.behind = nil
	}
}

// answered gives what the upstream has read by the next PINGRESP.
func (f *fences) answered() []uint16 {
	if len(f.sent) == 0 {
		return nil
	}
	ids := f.sent[0]
	f.sent[0] = nil
	f.sent = f.sent[1:]
	return ids
}

// fence writes a PINGREQ if there is something that waits for one.
func (s *session) fence() {
	s.mu.Lock()
	if len(s.fences.behind) > 0 && len(s.fences.sent) < maxFences && !s.closing {
		s.out = packet.AppendPingreq(s.out)
		s.fences.pinged()
	}
	s.mu.Unlock()
	wake(s.wakeWrite)
}

// pong lets go what stands before the PINGREQ that is answered now.
func (s *session) pong() {
	s.mu.Lock()
	ids := s.fences.answered()
	s.mu.Unlock()
	s.answered(ids, fenced)
}
