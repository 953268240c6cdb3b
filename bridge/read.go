package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"

	"headgate/broker/packet"
)

// reader holds the read goroutine's own.
type reader struct {
	*session
	ack   packet.Ack
	acked []uint16 // PUBACKs of this read, not yet handed on
}

// read handles all that the upstream says, until the connection ends.
func (s *session) read(ctx context.Context) error {
	defer close(s.readEnded)
	r := &reader{session: s}
	for {
		if !s.link.packets.ready() {
			r.handOn()
		}
		in, err := s.link.packets.next()
		if err == nil {
			err = r.handle(ctx, in)
		}
		if err == nil {
			continue
		}
		r.handOn()
		var wrong *packet.Error
		if errors.As(err, &wrong) {
			err = fmt.Errorf("the upstream broke the protocol: %w", err)
			if s.link.version == packet.V5 {
				s.disconnect(ctx, wrong.Reason)
			}
		} else if err != io.EOF {
			err = cause(err)
		}
		return err
	}
}

func (r *reader) handle(ctx context.Context, in incomingPacket) error {
	if in.Type != packet.PUBACK {
		r.handOn()
	}
	if in.cut && in.Type != packet.PUBLISH {
		return &packet.Error{Reason: packet.PacketTooLarge, Text: fmt.Sprintf("%v of %d bytes", in.Type, in.Remaining)}
	}
	v := r.link.version
	switch in.Type {
	case packet.PUBLISH:
		if in.cut {
			return r.tooLarge(ctx, in)
		}
		return r.incoming(ctx, in)
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		if err := r.ack.Decode(v, in.Type, in.body); err != nil {
			return err
		}
		return r.acknowledged(ctx)
	case packet.SUBACK:
		var ack packet.Suback
		if err := ack.Decode(v, in.body); err != nil {
			return err
		}
		return r.subscribed(&ack)
	case packet.PINGRESP:
		r.pong()
		return packet.DecodeEmpty(in.Type, in.body)
	case packet.DISCONNECT:
		if v != packet.V5 {
			break
		}
		var d packet.Disconnect
		if err := d.Decode(v, in.body); err != nil {
			return err
		}
		text := "the upstream ended the connection: " + reasonWords(d.Reason, &d.Properties)
		if d.Reason == packet.SessionTakenOver {
			text += fmt.Sprintf(": another client connected as %q: give each one a client_id of its own", r.b.cfg.ClientID)
		}
		return &refusal{version: v, reason: d.Reason, text: text}
	}
	return &packet.Error{Reason: packet.ProtocolError, Text: fmt.Sprintf("%v from a server", in.Type)}
}

// acknowledged handles r.ack.
func (r *reader) acknowledged(ctx context.Context) error {
	a := &r.ack
	switch a.Type {
	case packet.PUBACK:
		if !a.Reason.Failed() {
			r.acked = append(r.acked, a.PacketID)
			return nil
		}
		r.handOn()
		r.rejected(sent1)
		return nil
	case packet.PUBREC:
		if a.Reason.Failed() {
			r.rejected(sent2)
			return nil
		}
		return r.received(ctx)
	case packet.PUBCOMP:
		r.completed()
		return nil
	}
	return r.release(ctx)
}
