package bridge

import (
	"errors"
	"slices"

	"headgate/broker/packet"
	"headgate/broker/topic"
)

// Against loops: what went up does not come down again. On MQTT 5 No Local does
// that, on 3.1.1 mosquitto's bridge bit, which is set only where something could
// come back. Two gateways that bridge to each other have two connections, of
// which No Local knows nothing: so a bridge says in its CONNECT which gateway it
// is, and hears in the CONNACK which one the upstream is, and both brokers leave
// out what came from where it would go.

// peerProperty is the user property with a gateway's id.
const peerProperty = "headgate-gateway"

// peerOf gives the gateway's id that a CONNACK has, "" for none.
func peerOf(p *packet.Properties) string {
	i := slices.IndexFunc(p.User, func(u packet.UserProperty) bool { return string(u.Key) == peerProperty })
	if i < 0 {
		return ""
	}
	return string(p.User[i].Value)
}

// withoutBit says that the attempt that led to err is to be made again at once
// without the bridge bit. An upstream that does not take us without it either is
// asked with it the next time.
func (b *Bridge) withoutBit(v packet.Version, err error) bool {
	if v != packet.V311 || !b.echoes || b.service != nil && !b.service.bit {
		return false
	}
	var r *refusal
	if errors.As(err, &r) && r.unsupportedVersion() || errors.Is(err, errNoConnack) {
		b.noBit = !b.noBit
		return b.noBit
	}
	return false
}

// echoes says whether something that goes up matches a filter of what comes down.
func (c *Config) echoes() bool {
	for i := range c.Up {
		up := c.Up[i].remoteFilter()
		for j := range c.Down {
			_, down, _, _ := topic.SplitShared(c.Down[j].Filter)
			if topic.Overlap(up, down) {
				return true
			}
		}
	}
	return false
}
