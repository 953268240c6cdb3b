package auth

import (
	"slices"

	"headgate/broker/topic"
)

// Rights is what one connection may do. Nil is everything. It does not change,
// and asking it allocates nothing.
type Rights struct {
	publish, receive reach
}

// reach is a set of topics: what a filter of allow matches and none of deny.
type reach struct {
	allow, deny []string
}

// Rights gives what the client of this user may do. username is what
// Authenticate or Finish gave, "" for a client without one.
func (p *Policy) Rights(username, clientID string) *Rights {
	if len(p.rules) == 0 {
		return nil
	}
	r := new(Rights)
	for i := range p.rules {
		rule := &p.rules[i]
		if !rule.isFor(username, clientID) {
			continue
		}
		for _, pattern := range rule.patterns {
			filter, ok := pattern.filter(username, clientID, rule.deny)
			if !ok {
				continue
			}
			if rule.publish {
				r.publish.add(filter, rule.deny)
			}
			if rule.subscribe {
				r.receive.add(filter, rule.deny)
			}
		}
	}
	for _, list := range []*[]string{&r.publish.allow, &r.publish.deny, &r.receive.allow, &r.receive.deny} {
		*list = slices.Clip(*list)
	}
	return r
}

func (r *reach) add(filter string, deny bool) {
	list := &r.allow
	if deny {
		list = &r.deny
	}
	if !slices.Contains(*list, filter) {
		*list = append(*list, filter)
	}
}

// MayPublish says whether a message may be published to a topic name.
func (r *Rights) MayPublish(name string) bool { return r == nil || r.publish.has(name) }

// MayReceive says whether a message of a topic name may be delivered. It is asked
// for each, because a subscription's filter may match more than is allowed.
func (r *Rights) MayReceive(name string) bool { return r == nil || r.receive.has(name) }

// MaySubscribe says whether a subscription to a topic filter is of any use: not
// where nothing that it matches is allowed, nor where one denied filter has all
// that it matches. Of a shared subscription, the
// filter behind the group counts, and all of it must be allowed: see MayShare.
func (r *Rights) MaySubscribe(filter string) bool {
	if r == nil {
		return true
	}
	_, inner, shared, err := topic.SplitShared(filter)
	if err != nil || inner == "" {
		return false
	}
	if shared {
		return r.MayShare(inner)
	}
	for _, deny := range r.receive.deny {
		if topic.Covers(deny, inner) {
			return false
		}
	}
	for _, allow := range r.receive.allow {
		if topic.Overlap(allow, inner) {
			return true
		}
	}
	return false
}

// MayShare says whether all that a topic filter matches may be delivered: in a
// shared subscription nobody else gets what one member must not have.
func (r *Rights) MayShare(filter string) bool {
	if r == nil {
		return true
	}
	for _, deny := range r.receive.deny {
		if topic.Overlap(deny, filter) {
			return false
		}
	}
	return slices.ContainsFunc(r.receive.allow, func(allow string) bool { return topic.Covers(allow, filter) })
}

func (r *reach) has(name string) bool {
	for _, deny := range r.deny {
		if topic.Match(deny, name) {
			return false
		}
	}
	for _, allow := range r.allow {
		if topic.Match(allow, name) {
			return true
		}
	}
	return false
}
