package packet_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"headgate/broker/packet"
)

var versions = []packet.Version{packet.V31, packet.V311, packet.V5}

// wire gives bytes written as hex pairs, 'raw' text and "text" with its length
// before it, with spaces between.
func wire(s string) (b []byte) {
	for _, f := range strings.Fields(s) {
		switch text := strings.Trim(f, `'"`); f[0] {
		case '\'':
			b = append(b, text...)
		case '"':
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
		default:
			x, err := hex.DecodeString(f)
			if err != nil {
				panic(err)
			}
			b = append(b, x...)
		}
	}
	return b
}

// frame puts a fixed header before a body.
func frame(first byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

// block puts its length before a property block.
func block(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

// ping is a PINGREQ or PINGRESP.
type ping packet.Type

// decode decodes the packet that b begins with.
func decode(v packet.Version, b []byte) (any, error) {
	h, err := packet.ParseHeaderOf(v, b)
	if err != nil {
		return nil, err
	}
	if len(b) < h.Size+h.Remaining {
		return nil, packet.ErrIncomplete
	}
	body := b[h.Size : h.Size+h.Remaining]
	switch h.Type {
	case packet.CONNECT:
		p := new(packet.Connect)
		return p, p.Decode(body)
	case packet.CONNACK:
		p := new(packet.Connack)
		return p, p.Decode(v, body)
	case packet.PUBLISH:
		p := new(packet.Publish)
		return p, p.Decode(v, h.Flags, body)
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		p := new(packet.Ack)
		return p, p.Decode(v, h.Type, body)
	case packet.SUBSCRIBE:
		p := new(packet.Subscribe)
		return p, p.Decode(v, body)
	case packet.SUBACK:
		p := new(packet.Suback)
		return p, p.Decode(v, body)
	case packet.UNSUBSCRIBE:
		p := new(packet.Unsubscribe)
		return p, p.Decode(v, body)
	case packet.UNSUBACK:
		p := new(packet.Unsuback)
		return p, p.Decode(v, body)
	case packet.DISCONNECT:
		p := new(packet.Disconnect)
		return p, p.Decode(v, body)
	case packet.AUTH:
		p := new(packet.Auth)
		return p, p.Decode(v, body)
	case packet.PINGREQ, packet.PINGRESP:
		return ping(h.Type), packet.DecodeEmpty(h.Type, body)
	}
	return nil, fmt.Errorf("ParseHeader lets %v through", h.Type)
}

// encode appends what decode gives.
func encode(dst []byte, v packet.Version, p any) []byte {
	switch p := p.(type) {
	case *packet.Connect:
		return p.Append(dst)
	case interface {
		Append([]byte, packet.Version) []byte
	}:
		return p.Append(dst, v)
	case ping:
		if packet.Type(p) == packet.PINGREQ {
			return packet.AppendPingreq(dst)
		}
		return packet.AppendPingresp(dst)
	}
	panic(fmt.Sprintf("no packet: %T", p))
}

// diff compares two packets by what they mean.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Transformer("Properties", meaning))
}

// meaning gives the properties that are there, by their identifiers.
func meaning(p packet.Properties) map[packet.PropertyID]any {
	m := make(map[packet.PropertyID]any)
	for id := range packet.PropertyID(0x7f) {
		if p.Has(id) {
			m[id] = value(&p, id)
		}
	}
	return m
}

func value(p *packet.Properties, id packet.PropertyID) any {
	return map[packet.PropertyID]any{
		packet.PropPayloadFormat:        p.PayloadFormat,
		packet.PropMessageExpiry:        p.MessageExpiry,
		packet.PropContentType:          p.ContentType,
		packet.PropResponseTopic:        p.ResponseTopic,
		packet.PropCorrelationData:      p.CorrelationData,
		packet.PropSubscriptionID:       p.SubscriptionIDs,
		packet.PropSessionExpiry:        p.SessionExpiry,
		packet.PropAssignedClientID:     p.AssignedClientID,
		packet.PropServerKeepAlive:      p.ServerKeepAlive,
		packet.PropAuthMethod:           p.AuthMethod,
		packet.PropAuthData:             p.AuthData,
		packet.PropRequestProblemInfo:   p.RequestProblemInfo,
		packet.PropWillDelay:            p.WillDelay,
		packet.PropRequestResponseInfo:  p.RequestResponseInfo,
		packet.PropResponseInfo:         p.ResponseInfo,
		packet.PropServerReference:      p.ServerReference,
		packet.PropReasonString:         p.ReasonString,
		packet.PropReceiveMaximum:       p.ReceiveMaximum,
		packet.PropTopicAliasMaximum:    p.TopicAliasMaximum,
		packet.PropTopicAlias:           p.TopicAlias,
		packet.PropMaximumQoS:           p.MaximumQoS,
		packet.PropRetainAvailable:      p.RetainAvailable,
		packet.PropUser:                 p.User,
		packet.PropMaximumPacketSize:    p.MaximumPacketSize,
		packet.PropWildcardSubAvailable: p.WildcardSubAvailable,
		packet.PropSubIDAvailable:       p.SubIDAvailable,
		packet.PropSharedSubAvailable:   p.SharedSubAvailable,
	}[id]
}

// properties sets what set sets, and marks ids as there.
func properties(set packet.Properties, ids ...packet.PropertyID) packet.Properties {
	for _, id := range ids {
		set.Set(id)
	}
	return set
}

// mustDecode gives what b means, and wants all of b to be one packet.
func mustDecode(t *testing.T, v packet.Version, b []byte) any {
	t.Helper()
	p, err := decode(v, b)
	if err != nil {
		t.Fatalf("MQTT %v: decode % x: %v", v, b, err)
	}
	return p
}

// wantFault wants an *Error with reason and clause; what says of which input.
func wantFault(t *testing.T, err error, reason packet.ReasonCode, clause, what string, args ...any) {
	t.Helper()
	var fault *packet.Error
	if !errors.As(err, &fault) {
		t.Errorf(what+": got %v, want %v [%s]", append(args, err, reason, clause)...)
	} else if fault.Reason != reason || fault.Clause != clause {
		t.Errorf(what+": got %v [%s] %q, want %v [%s]", append(args, fault.Reason, fault.Clause, fault.Text, reason, clause)...)
	}
}
