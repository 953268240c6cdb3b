package bridge

import "headgate/broker/packet"

const (
	// maxAliasTopics bounds the names of the topics that have an alias, in bytes;
	// past it, as past the upstream's maximum, the others are sent by their names.
	maxAliasTopics = 64 << 10

	// aliasBytes is what an alias takes in a packet: a shorter name is not worth one.
	aliasBytes = 3
)

// aliases are the numbers that stand for topics in one connection. The first
// topics keep theirs: what a gateway measures is a set that hardly changes.
// [MQTT 3.3.2.3.4]
type aliases struct {
	max    int // the upstream's Topic Alias Maximum; 0 on 3.1.1
	topics map[string]uint16
	bytes  int // of topics
}

// shorten puts an alias in place of p's topic where the upstream knows it. Else it
// puts a new one beside it while there are some, which told is to note when p
// goes out.
func (a *aliases) shorten(p *packet.Publish) (isNew bool) {
	if a.max == 0 || len(p.Topic) <= aliasBytes {
		return false
	}
	alias, known := a.topics[string(p.Topic)]
	switch {
	case known:
		p.Topic = p.Topic[:0]
	case len(a.topics) < a.max && a.bytes+len(p.Topic) <= maxAliasTopics:
		alias = uint16(len(a.topics) + 1) // [MQTT-3.3.2-8]
	default:
		return false
	}
	p.Properties.TopicAlias = alias
	p.Properties.Set(packet.PropTopicAlias)
	return !known
}

// told notes that the upstream is told the alias of p's topic.
func (a *aliases) told(p *packet.Publish) {
	if a.topics == nil {
		a.topics = make(map[string]uint16)
	}
	a.topics[string(p.Topic)] = p.Properties.TopicAlias
	a.bytes += len(p.Topic)
}
