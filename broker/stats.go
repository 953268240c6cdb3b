package broker

import "sync/atomic"

// Stats is what the broker counts since it started, and how many there are of
// each thing now.
type Stats struct {
	Connections, Sessions, Subscriptions int64 // now
	Retained, RetainedBytes              int64 // now
	MessagesIn, MessagesOut              int64 // PUBLISH packets
	BytesOut                             int64
	Dropped                              int64 // messages that a client had no room for, or that expired
	Refused                              int64 // connections
	RefusedAuth                          int64 // of them, for who they are
	RefusedFull                          int64 // commits that the store had no room for
	RetainedRefused                      int64 // retained messages past the limit
	Denied                               int64 // publishes and subscriptions that are not allowed
	SubscriptionsRefused                 int64 // subscriptions past a limit
	ProtocolErrors, Panics               int64
}

type stats struct {
	connections, messagesIn, messagesOut, bytesOut, dropped, refused, refusedAuth, refusedFull,
	retainedRefused, refusedSubscriptions, denied, protocolErrors, panics atomic.Int64
}

// Stats gives the counters as they stand.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	sessions := len(b.sessions)
	b.mu.Unlock()
	b.retained.mu.Lock()
	retainedBytes := b.retained.bytes
	b.retained.mu.Unlock()
	s := &b.stats
	return Stats{
		Connections: s.connections.Load(), Sessions: int64(sessions), Subscriptions: int64(b.index.Len()),
		Retained: int64(b.retained.tree.Len()), RetainedBytes: retainedBytes,
		MessagesIn: s.messagesIn.Load(), MessagesOut: s.messagesOut.Load(), BytesOut: s.bytesOut.Load(),
		Dropped: s.dropped.Load(), Refused: s.refused.Load(), RefusedAuth: s.refusedAuth.Load(), RefusedFull: s.refusedFull.Load(),
		RetainedRefused: s.retainedRefused.Load(), Denied: s.denied.Load(), SubscriptionsRefused: s.refusedSubscriptions.Load(), ProtocolErrors: s.protocolErrors.Load(), Panics: s.panics.Load(),
	}
}
