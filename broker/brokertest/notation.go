package brokertest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"headgate/broker/packet"
)

// encode gives the bytes of a packet.
func (f *fields) encode(v packet.Version) ([]byte, error) {
	w := fieldWriter{v: v}
	switch f.packet {
	case "CONNECT":
		return w.connect(f)
	case "PUBLISH":
		p := packet.Publish{QoS: byte(w.number(f, "qos")), Dup: w.flag(f, "dup"), Retain: w.flag(f, "retain"), PacketID: uint16(w.number(f, "id"))}
		p.Topic, p.Payload = w.text(f, "topic"), w.text(f, "payload")
		w.properties(f, &p.Properties)
		return p.Append(nil, v), w.err
	case "PUBACK", "PUBREC", "PUBREL", "PUBCOMP":
		p := packet.Ack{Type: typeNamed(f.packet), PacketID: uint16(w.number(f, "id")), Reason: w.reason(f)}
		w.properties(f, &p.Properties)
		return p.Append(nil, v), w.err
	case "SUBSCRIBE":
		p := packet.Subscribe{PacketID: uint16(w.number(f, "id")), Subscriptions: w.subscriptions(f)}
		w.properties(f, &p.Properties)
		return p.Append(nil, v), w.err
	case "UNSUBSCRIBE":
		p := packet.Unsubscribe{PacketID: uint16(w.number(f, "id"))}
		for _, filter := range f.all("filter") {
			p.Filters = append(p.Filters, []byte(filter))
		}
		w.properties(f, &p.Properties)
		return p.Append(nil, v), w.err
	case "PINGREQ":
		return packet.AppendPingreq(nil), nil
	case "DISCONNECT":
		p := packet.Disconnect{Reason: w.reason(f)}
		w.properties(f, &p.Properties)
		return p.Append(nil, v), w.err
	case "AUTH":
		p := packet.Auth{Reason: w.reason(f)}
		w.properties(f, &p.Properties)
		return p.Append(nil, v), w.err
	}
	return nil, fmt.Errorf("%s is no packet that a client sends: say it as raw bytes", f.packet)
}

// fieldWriter reads fields for encoding, and keeps the first error.
type fieldWriter struct {
	v   packet.Version
	err error
}

func (w *fieldWriter) number(f *fields, key string) uint64 {
	s, ok := f.get(key)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: %w", key, err)
	}
	return n
}

func (w *fieldWriter) flag(f *fields, key string) bool { return w.number(f, key) != 0 }

func (w *fieldWriter) text(f *fields, key string) []byte {
	s, _ := f.get(key)
	return []byte(s)
}

func (w *fieldWriter) reason(f *fields) packet.ReasonCode {
	n := w.number(f, "reason")
	if n != 0 && w.v != packet.V5 && w.err == nil {
		w.err = fmt.Errorf("a reason in %s %v", f.packet, w.v)
	}
	return packet.ReasonCode(n)
}

// properties sets the properties of a packet, but not those of its will.
func (w *fieldWriter) properties(f *fields, p *packet.Properties) {
	for _, x := range f.list {
		if packetFields[x.key] == 0 {
			w.property(p, x.key, x.value)
		}
	}
}

func (w *fieldWriter) property(p *packet.Properties, key, value string) {
	pf := propertyNamed(key)
	if pf == nil || w.err != nil {
		return
	}
	if w.v != packet.V5 {
		w.err = fmt.Errorf("%s is a property of 5.0", key)
		return
	}
	w.err = setProperty(p, pf, value)
}

func (w *fieldWriter) connect(f *fields) ([]byte, error) {
	p := packet.Connect{Version: w.v, CleanStart: w.flag(f, "clean"), KeepAlive: uint16(w.number(f, "keepalive")), ClientID: w.text(f, "id")}
	_, p.HasWill = f.get("will-topic")
	p.Will = packet.Will{QoS: byte(w.number(f, "will-qos")), Retain: w.flag(f, "will-retain"), Topic: w.text(f, "will-topic"), Payload: w.text(f, "will-payload")}
	_, p.HasUsername = f.get("username")
	_, p.HasPassword = f.get("password")
	p.Username, p.Password = w.text(f, "username"), w.text(f, "password")
	if w.v == packet.V5 && w.flag(f, "persistent") {
		p.Properties.SessionExpiry = 3600
		p.Properties.Set(packet.PropSessionExpiry)
	}
	for _, x := range f.list {
		if packetFields[x.key] != 0 {
			continue
		}
		if name, ok := strings.CutPrefix(x.key, "will-"); ok {
			w.property(&p.Will.Properties, name, x.value)
		} else {
			w.property(&p.Properties, x.key, x.value)
		}
	}
	return p.Append(nil), w.err
}

// subscriptions reads "filter=a qos=1 nl filter=b rh=2": options follow their
// filter.
func (w *fieldWriter) subscriptions(f *fields) (subs []packet.Subscription) {
	for _, x := range f.list {
		if x.key == "filter" {
			subs = append(subs, packet.Subscription{Filter: []byte(x.value)})
			continue
		}
		if len(subs) == 0 {
			continue
		}
		s, n := &subs[len(subs)-1], w.number(&fields{list: []fieldValue{x}}, x.key)
		switch x.key {
		case "qos":
			s.QoS = byte(n)
		case "nl":
			s.NoLocal = n != 0
		case "rap":
			s.RetainAsPublished = n != 0
		case "rh":
			s.RetainHandling = byte(n)
		}
	}
	return subs
}

func typeNamed(name string) packet.Type {
	for t := packet.CONNECT; t <= packet.AUTH; t++ {
		if t.String() == name {
			return t
		}
	}
	return 0
}

// decodeFields gives a packet that a server sent, in a script's notation.
func decodeFields(v packet.Version, h packet.Header, body []byte) (fields, error) {
	f := fields{packet: h.Type.String()}
	switch h.Type {
	case packet.CONNACK:
		var p packet.Connack
		err := p.Decode(v, body)
		f.flag("present", p.SessionPresent)
		f.reason(p.Reason)
		f.addProperties(&p.Properties)
		return f, err
	case packet.PUBLISH:
		var p packet.Publish
		err := p.Decode(v, h.Flags, body)
		f.addPublish(&p)
		return f, err
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		var p packet.Ack
		err := p.Decode(v, h.Type, body)
		f.add("id", strconv.Itoa(int(p.PacketID)))
		f.reason(p.Reason)
		f.addProperties(&p.Properties)
		return f, err
	case packet.SUBACK:
		var p packet.Suback
		err := p.Decode(v, body)
		f.reasons(p.PacketID, p.Reasons, &p.Properties)
		return f, err
	case packet.UNSUBACK:
		var p packet.Unsuback
		err := p.Decode(v, body)
		f.reasons(p.PacketID, p.Reasons, &p.Properties)
		return f, err
	case packet.PINGRESP:
		return f, packet.DecodeEmpty(h.Type, body)
	case packet.DISCONNECT:
		var p packet.Disconnect
		err := p.Decode(v, body)
		f.reason(p.Reason)
		f.addProperties(&p.Properties)
		if v != packet.V5 {
			err = fmt.Errorf("a server sends no DISCONNECT in %v", v)
		}
		return f, err
	case packet.AUTH:
		var p packet.Auth
		err := p.Decode(v, body)
		f.reason(p.Reason)
		f.addProperties(&p.Properties)
		return f, err
	}
	return f, fmt.Errorf("a server sends no %v", h.Type)
}

func (f *fields) addPublish(p *packet.Publish) {
	f.add("topic", string(p.Topic))
	if len(p.Payload) > 0 {
		f.add("payload", string(p.Payload))
	}
	if p.QoS > 0 {
		f.add("qos", strconv.Itoa(int(p.QoS)))
		f.add("id", strconv.Itoa(int(p.PacketID)))
	}
	f.flag("dup", p.Dup)
	f.flag("retain", p.Retain)
	f.addProperties(&p.Properties)
}

func (f *fields) flag(key string, is bool) {
	if is {
		f.add(key, "1")
	}
}

func (f *fields) reason(r packet.ReasonCode) {
	if r != 0 {
		f.add("reason", fmt.Sprintf("0x%02x", byte(r)))
	}
}

func (f *fields) reasons(id uint16, rs []packet.ReasonCode, p *packet.Properties) {
	f.add("id", strconv.Itoa(int(id)))
	var list []string
	for _, r := range rs {
		list = append(list, fmt.Sprintf("0x%02x", byte(r)))
	}
	if len(list) > 0 {
		f.add("reasons", strings.Join(list, ","))
	}
	f.addProperties(p)
}

// rawBytes reads bytes in hex, text in quotes, sizes (size:N) and packet
// identifiers ($p).
func rawBytes(args []string, expand func(name string) (string, bool)) ([]byte, error) {
	var out []byte
	for _, a := range args {
		switch {
		case a[0] == '"' || strings.HasPrefix(a, "size:"):
			s, err := unquote(a)
			if err != nil {
				return nil, err
			}
			out = append(out, s...)
		case a[0] == '$':
			s, _ := expand(a[1:])
			n, err := strconv.ParseUint(s, 10, 16)
			if err != nil {
				return nil, fmt.Errorf("%s is no packet identifier", a)
			}
			out = binary.BigEndian.AppendUint16(out, uint16(n))
		default:
			b, err := hex.DecodeString(a)
			if err != nil {
				return nil, fmt.Errorf("%q: want bytes in hex, or text in quotes", a)
			}
			out = append(out, b...)
		}
	}
	return out, nil
}

// matchRaw says whether bytes are what a line wants: ?? is any byte, and .. at
// the end any bytes.
func matchRaw(args []string, raw []byte, expand func(name string) (string, bool)) (bool, error) {
	for i, a := range args {
		if a == ".." && i == len(args)-1 {
			return true, nil
		}
		if a == "??" {
			if len(raw) == 0 {
				return false, nil
			}
			raw = raw[1:]
			continue
		}
		want, err := rawBytes([]string{a}, expand)
		if err != nil {
			return false, err
		}
		var ok bool
		if raw, ok = bytes.CutPrefix(raw, want); !ok {
			return false, nil
		}
	}
	return len(raw) == 0, nil
}
