package web

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Message is one that was published in the local broker.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool // it is kept as retained; of an empty payload: what was kept is gone
	Old     bool // it was there before anybody watched
}

// topics are those that something was published to while somebody watched, with
// the last message of each. Nobody watches: nothing is kept, and the broker has no
// subscriber more.
type topics struct {
	watch func(handle func(Message)) (stop func())

	mu      sync.Mutex // guards what follows
	by      map[string]*topicState
	bytes   int
	left    uint64 // messages of topics for which there was no room
	changed map[string]struct{}
	unwatch func()    // nil while nobody watches
	asked   time.Time // when somebody last looked
}

// topicState is one topic as JSON has it.
type topicState struct {
	Topic    string    `json:"topic"`
	Payload  string    `json:"payload"` // its beginning
	Size     int       `json:"size"`    // of the payload, in bytes
	Binary   bool      `json:"binary"`  // the payload is no text, and left out
	QoS      byte      `json:"qos"`
	Retained bool      `json:"retained"`
	Count    uint64    `json:"count"` // messages since somebody watches
	Rate     float64   `json:"rate"`  // a second, over about ten
	Time     time.Time `json:"time"`

	counted uint64 // at the last tick
}

const (
	maxTopics     = 4 << 20 // bytes
	topicOverhead = 256
	shownPayload  = 512         // bytes of a payload that are kept
	unwatchedTime = time.Minute // after the last look
	rateKeep      = 0.9         // of a rate, each second
)

func newTopics(watch func(handle func(Message)) (stop func())) *topics { return &topics{watch: watch} }

// look begins to watch if nobody does.
func (t *topics) look(now time.Time) {
	t.mu.Lock()
	t.asked = now
	begin := t.by == nil
	if begin {
		t.by, t.changed, t.bytes, t.left = map[string]*topicState{}, map[string]struct{}{}, 0, 0
	}
	t.mu.Unlock()
	if !begin {
		return
	}
	stop := t.watch(t.take) // it calls take
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwatch = stop
}

// stop ends the watching.
func (t *topics) stop() {
	t.mu.Lock()
	stop := t.unwatch
	t.unwatch, t.by, t.changed = nil, nil, nil
	t.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (t *topics) take(m Message) {
	now := time.Now().UTC()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		return
	}
	s := t.by[m.Topic]
	if s == nil {
		if t.bytes+len(m.Topic)+topicOverhead+shownPayload > maxTopics {
			t.left++
			return
		}
		s = &topicState{Topic: strings.Clone(m.Topic)}
		t.by[s.Topic] = s
		t.bytes += len(m.Topic) + topicOverhead + shownPayload
	}
	s.Size, s.QoS, s.Time = len(m.Payload), m.QoS, now
	s.Payload, s.Binary = shown(m.Payload)
	if !m.Old {
		s.Count++
	}
	if m.Retain {
		s.Retained = len(m.Payload) > 0
	}
	t.changed[s.Topic] = struct{}{}
}

// shown gives the beginning of a payload, if it is text.
func shown(payload []byte) (text string, binary bool) {
	if len(payload) > shownPayload {
		payload = payload[:shownPayload]
		for len(payload) > shownPayload-utf8.UTFMax && !utf8.Valid(payload) {
			payload = payload[:len(payload)-1]
		}
	}
	if !utf8.Valid(payload) {
		return "", true
	}
	return string(payload), false
}

// topicList is what the API gives of them.
type topicList struct {
	Topics []topicState `json:"topics"`
	Left   uint64       `json:"left"` // messages whose topics there was no room for
}

// tick brings the rates up to date, once a second, and gives what has changed since
// the tick before. It ends the watching when nobody has looked for a while.
func (t *topics) tick(now time.Time) topicList {
	t.mu.Lock()
	idle := t.unwatch != nil && now.Sub(t.asked) > unwatchedTime
	list := topicList{Topics: []topicState{}, Left: t.left}
	for name, s := range t.by {
		before := s.Rate
		s.Rate = s.Rate*rateKeep + float64(s.Count-s.counted)*(1-rateKeep)
		if s.counted = s.Count; s.Rate < 0.01 {
			s.Rate = 0
		}
		if _, is := t.changed[name]; is || s.Rate == 0 && before > 0 {
			list.Topics = append(list.Topics, *s)
		}
	}
	clear(t.changed)
	t.mu.Unlock()
	if idle {
		t.stop()
	}
	return list
}

// all gives them by their names.
func (t *topics) all() topicList {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := topicList{Topics: []topicState{}, Left: t.left}
	for _, s := range t.by {
		list.Topics = append(list.Topics, *s)
	}
	slices.SortFunc(list.Topics, func(a, b topicState) int { return cmp.Compare(a.Topic, b.Topic) })
	return list
}
