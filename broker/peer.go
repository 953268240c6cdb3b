package broker

import (
	"slices"

	"headgate/broker/packet"
)

// PeerProperty is the user property of CONNECT and CONNACK by which two gateways
// tell each other their ids: a bridge says its own, and is answered with the
// broker's. What came from a gateway does not go back to it by another bridge
// between the two.
const PeerProperty = "headgate-gateway"

// maxPeerID bounds the id that a client may give, in bytes; a longer one is none.
const maxPeerID = 256

// peerOf gives the gateway that a CONNECT is from; "" for any other client.
func peerOf(p *packet.Properties) string {
	i := slices.IndexFunc(p.User, func(u packet.UserProperty) bool { return string(u.Key) == PeerProperty })
	if i < 0 || len(p.User[i].Value) > maxPeerID {
		return ""
	}
	return string(p.User[i].Value)
}

// setPeer notes which gateway the session's receiver is; "" for none.
func (s *session) setPeer(id string) {
	if id == "" {
		s.peer.Store(nil)
		return
	}
	s.peer.Store(&id)
}

// isPeerOf says whether both sessions are of one other gateway.
func (s *session) isPeerOf(other *session) bool {
	mine, theirs := s.peer.Load(), other.peer.Load()
	return mine != nil && theirs != nil && *mine == *theirs
}

// SetPeer tells the id of the upstream, if it is a gateway like this one; "" for
// any other. What came from it does not go up.
func (u *Uplink) SetPeer(id string) {
	for _, s := range u.lanes {
		s.setPeer(id)
	}
}
