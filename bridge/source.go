package bridge

import (
	"context"
	"time"

	"headgate/broker/packet"
)

// Message is an application message as it crosses between the local broker and
// the upstream. Its bytes are never changed by either side.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte // as it was published
	Retain  bool

	// Properties has content type, response topic, correlation data, user
	// properties, payload format and message expiry, where they were given.
	Properties packet.Properties
}

// Outgoing is a message on its way to the upstream.
type Outgoing struct {
	Message

	// PacketID is given by the Source in rising order (1 follows 65535), and is
	// the same again after a restart; 0 for a message that is not queued and
	// goes at QoS 0.
	PacketID uint16

	// Replay: it is of the backlog, it waited while there was no connection. What
	// goes behind newer ones is retained only if it is still its topic's newest.
	Replay bool
	Age    time.Duration // of such a message, about

	Dup      bool // it was handed out before, so the upstream may have it
	Received bool // PUBREC came: go on with PUBREL. The message is filled all the same
}

// Source is what the bridge drains and fills: a persistent session of the local
// broker. Acknowledgements are final and may be given in any order; they span at
// most Config.MaxInFlight messages. Calls of done may come from any goroutine,
// also before the method returns or after Run has returned; they come in the
// order of the calls that they answer.
type Source interface {
	// Next gives the next message in order, and waits for one. Without backlog it
	// gives only what overtakes that.
	Next(ctx context.Context, backlog bool) (Outgoing, error)
	// TryNext is Next that gives false where Next would wait.
	TryNext(backlog bool) (o Outgoing, ok bool, err error)
	// Live says whether what comes from now on can be sent at once. The bridge
	// calls it when a connection is there and when it is no more. What waits when
	// it is called with true is the backlog.
	Live(on bool)
	// Rewind makes the first message that is not acknowledged the next one. The
	// bridge calls it after every connect and after an upstream that was full
	// refused some; no Next runs meanwhile.
	Rewind()
	// Ack lets a message go: the upstream has it, or it was given up and
	// counted. Never called for identifier 0, whose messages go with the Next
	// that follows.
	Ack(packetID uint16)
	// Received records that PUBREC came (QoS 2); again for the same message is
	// no harm. done when it is durable.
	Received(packetID uint16, done func(error))

	// Publish hands a message of the upstream to the local broker; done when it
	// is durable. packetID is 0 but for QoS 2, where it is remembered with the
	// message, until Release: another one with this identifier is the same
	// message again and not routed.
	Publish(m Message, packetID uint16, done func(error))
	// Release forgets an identifier of Publish, known or not; done when that is
	// durable.
	Release(packetID uint16, done func(error))
	// ForgetReceived forgets all of them: the upstream has a new session.
	ForgetReceived()

	// Backlog says how much waits, what is on its way included.
	Backlog() Backlog
}

// Backlog is what waits for the upstream.
type Backlog struct {
	Messages, Bytes int64
	Oldest          time.Duration // how long the first one has waited, about
}
