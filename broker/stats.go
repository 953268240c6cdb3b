package broker

import "sync/atomic"

// Stats is what the broker counts since it started, and how many there are of
// each thing now.
type Stats struct {
	Connections, MaxConnections        int64 // now, and the most there were at a time
	Sockets, Connects                  int64 // connections that came, and of them those with a CONNECT that was taken
	Sessions, Offline                  int64 // now; Offline: of clients that are not connected
	Subscriptions, SharedSubscriptions int64 // now
	Retained, RetainedBytes            int64 // now, without $SYS
	Queued, QueuedBytes                int64 // now, messages in the store for sessions and bridges
	WaitingBytes                       int64 // now, in memory for slow clients

	PacketsIn, PacketsOut   int64
	BytesIn, BytesOut       int64
	MessagesIn, MessagesOut int64 // PUBLISH packets
	PayloadIn, PayloadOut   int64 // bytes in them

	Dropped              int64 // messages that a client had no room for, or that expired
	QueueDropped         int64 // messages that left a queue in the store without having been sent: see store.Drops
	Denied               int64 // publishes and subscriptions that are not allowed
	Refused              int64 // connections
	RefusedAuth          int64 // of them, for who they are
	RefusedFull          int64 // commits that the store had no room for
	RetainedRefused      int64 // retained messages past the limit
	SubscriptionsRefused int64 // subscriptions past a limit
	SessionsExpired      int64
	ProtocolErrors       int64
	Panics               int64 // faults of ours, each of which closed a connection
}

type stats struct {
	connections, maxConnections, sockets, connects,
	packetsIn, packetsOut, bytesIn, bytesOut, messagesIn, messagesOut, payloadIn, payloadOut,
	dropped, denied, refused, refusedAuth, refusedFull, retainedRefused, subscriptionsRefused,
	sessionsExpired, protocolErrors, panics atomic.Int64
}

// connected counts a connection in.
func (s *stats) connected() int64 {
	s.sockets.Add(1)
	n := s.connections.Add(1)
	for {
		most := s.maxConnections.Load()
		if n <= most || s.maxConnections.CompareAndSwap(most, n) {
			return n
		}
	}
}

// tally is what one goroutine counts of packets, until it adds that to the stats.
type tally struct{ packets, messages, payload int64 }

func (t *tally) message(payload int) {
	t.packets++
	t.messages++
	t.payload += int64(payload)
}

func (t *tally) add(more tally) {
	t.packets += more.packets
	t.messages += more.messages
	t.payload += more.payload
}

func (t *tally) addTo(packets, messages, payload *atomic.Int64) {
	if t.packets == 0 {
		return
	}
	packets.Add(t.packets)
	if t.messages > 0 {
		messages.Add(t.messages)
		payload.Add(t.payload)
	}
	*t = tally{}
}

// subscriptions counts them. The index has one entry for all members of a group.
func (b *Broker) subscriptions() int64 {
	b.groups.mu.Lock()
	defer b.groups.mu.Unlock()
	return int64(b.index.Len()-len(b.groups.byName)) + b.groups.memberships.Load()
}

// Stats gives the counters as they stand.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	sessions, offline := len(b.sessions), len(b.offline)
	b.mu.Unlock()
	b.retained.mu.Lock()
	retained, retainedBytes := b.retained.count, b.retained.bytes
	b.retained.mu.Unlock()
	var queued, queuedBytes int64
	for _, q := range b.store.Queues() {
		st := q.Stats()
		queued += st.Messages
		queuedBytes += st.Bytes
	}
	s := &b.stats
	return Stats{
		Connections: s.connections.Load(), MaxConnections: s.maxConnections.Load(), Sockets: s.sockets.Load(), Connects: s.connects.Load(),
		Sessions: int64(sessions), Offline: int64(offline),
		Subscriptions: b.subscriptions(), SharedSubscriptions: b.groups.memberships.Load(),
		Retained: int64(retained), RetainedBytes: retainedBytes,
		Queued: queued, QueuedBytes: queuedBytes, WaitingBytes: b.queued.Load(),
		PacketsIn: s.packetsIn.Load(), PacketsOut: s.packetsOut.Load(),
		BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(),
		MessagesIn: s.messagesIn.Load(), MessagesOut: s.messagesOut.Load(),
		PayloadIn: s.payloadIn.Load(), PayloadOut: s.payloadOut.Load(),
		Dropped: s.dropped.Load(), QueueDropped: b.store.Dropped(), Denied: s.denied.Load(),
		Refused: s.refused.Load(), RefusedAuth: s.refusedAuth.Load(), RefusedFull: s.refusedFull.Load(),
		RetainedRefused: s.retainedRefused.Load(), SubscriptionsRefused: s.subscriptionsRefused.Load(),
		SessionsExpired: s.sessionsExpired.Load(), ProtocolErrors: s.protocolErrors.Load(), Panics: s.panics.Load(),
	}
}
