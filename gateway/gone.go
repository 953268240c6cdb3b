package gateway

import (
	"bytes"
	"slices"
	"strings"
)

// StatusFilter matches the status of every device that this gateway may ever have had;
// "" where other gateways' may look the same, because the topics do not name this one.
func (g *Gateway) StatusFilter() string {
	if !slices.ContainsFunc(strings.Split(g.cfg.Topic, "/"), func(level string) bool { return strings.Contains(level, "{gateway}") }) {
		return ""
	}
	return g.topics.status("+")
}

// ForgetStatus clears the retained status of a device that this gateway had, and has
// not any more. It is false for any other topic or payload, which stays.
func (g *Gateway) ForgetStatus(topic string, payload []byte) bool {
	device, _ := g.topics.names(topic)
	if g.StatusFilter() == "" || device == "" || topic != g.topics.status(device) || g.field.Load().devices[device] != nil ||
		!bytes.HasPrefix(payload, []byte(`{"status":"o`)) || !bytes.Contains(payload, []byte(`"time":"`)) {
		return false
	}
	g.log.Info("status of a device that is gone is cleared", "device", device)
	return g.publish(Message{Topic: topic, QoS: 1, Retain: true})
}
