package broker

import (
	"errors"

	"headgate/broker/auth"
	"headgate/broker/packet"
	"headgate/broker/topic"
)

var errUserGone = errors.New("the user is not configured any more")

// Reload puts users, rights, limits, classes and certificates of a new config into force
// for all that follows, connections that are there included: what a session may
// not do any more it does not get any more, and a client whose user is gone is
// disconnected. What a connection was promised in its CONNACK stays as it is.
// Listeners begin and end; a changed one does both. With an error about users or
// rights, everything is as before; one about a certificate is for its listener alone.
func (b *Broker) Reload(cfg Config) error {
	policy, err := auth.New(cfg.Config, b.live.Load().policy)
	if err != nil {
		return err
	}
	b.live.Store(&settings{Limits: cfg.Limits, policy: policy, classes: cfg.Classes})
	err = b.reloadListeners(cfg.Listener)
	for _, s := range b.allSessions() {
		b.judge(s, policy)
	}
	b.limitQueues()
	b.index.Changed()
	return err
}

func (b *Broker) allSessions() []*session {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*session, 0, len(b.sessions))
	for _, s := range b.sessions {
		if s.inside == nil {
			list = append(list, s)
		}
	}
	return list
}

// judge gives a session the rights that it has by now.
func (b *Broker) judge(s *session, policy *auth.Policy) {
	s.mu.Lock()
	user := s.user
	var shared []string
	for _, sub := range s.subs {
		if _, inner, is, _ := topic.SplitShared(sub.filter); is {
			shared = append(shared, inner, sub.filter)
		}
	}
	s.mu.Unlock()
	rights := policy.Rights(user, s.id)
	s.rights.Store(rights)
	for i := 0; i < len(shared); i += 2 {
		if rights.MayShare(shared[i]) {
			continue
		}
		_, recs := b.unsubscribe(s, shared[i+1])
		b.store.Commit(recs, func(err error) {
			if err != nil {
				b.log.Warn("end of a shared subscription is not on disk", "client", s.id, "filter", shared[i+1], "err", err)
			}
		})
	}
	c := s.conn.Load()
	if c != nil && user != "" && !c.entry.named && !policy.Has(user) {
		c.end(packet.AdministrativeAction, errUserGone)
	}
}
