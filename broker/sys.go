package broker

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// sys publishes the broker's figures under $SYS, with the names that mosquitto
// gives them, retained, and each only when it has changed. They are never on
// disk.
type sys struct {
	b       *Broker
	version string
	start   time.Time
	said    map[string]string
	heap    uint64 // the most there was, in bytes
	loads   []load
	router  router
}

// SysPrefix begins the topics that are the broker's own.
const SysPrefix = "$SYS/"

// load is a counter's rate a minute, averaged over 1, 5 and 15 minutes as the
// kernel's load average is.
type load struct {
	name    string
	of      func(*Stats) int64
	last    int64
	average [len(loadMinutes)]float64
}

var loadMinutes = [3]int{1, 5, 15}

func newSys(b *Broker, now time.Time) *sys {
	s := &sys{b: b, start: now, version: b.cfg.Version, said: make(map[string]string), router: router{b: b}}
	s.loads = []load{
		{name: "messages/received", of: func(s *Stats) int64 { return s.PacketsIn }},
		{name: "messages/sent", of: func(s *Stats) int64 { return s.PacketsOut }},
		{name: "publish/received", of: func(s *Stats) int64 { return s.MessagesIn }},
		{name: "publish/sent", of: func(s *Stats) int64 { return s.MessagesOut }},
		{name: "publish/dropped", of: func(s *Stats) int64 { return s.Dropped + s.QueueDropped }},
		{name: "bytes/received", of: func(s *Stats) int64 { return s.BytesIn }},
		{name: "bytes/sent", of: func(s *Stats) int64 { return s.BytesOut }},
		{name: "connections", of: func(s *Stats) int64 { return s.Connects }},
		{name: "sockets", of: func(s *Stats) int64 { return s.Sockets }},
	}
	return s
}

// run publishes at the start and every sys_interval until ctx ends.
func (s *sys) run(ctx context.Context) {
	last := s.start
	for {
		now := time.Now()
		s.publish(now, now.Sub(last))
		last = now
		if !wait(ctx, time.Duration(s.b.live.Load().SysInterval)) {
			return
		}
	}
}

func (s *sys) publish(now time.Time, since time.Duration) {
	st := s.b.Stats()
	s.say("version", "headgate "+s.version)
	s.say("uptime", fmt.Sprintf("%d seconds", now.Sub(s.start)/time.Second))
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"clients/total", st.Connections + st.Offline},
		{"clients/connected", st.Connections},
		{"clients/disconnected", st.Offline},
		{"clients/active", st.Connections},
		{"clients/inactive", st.Offline},
		{"clients/maximum", st.MaxConnections},
		{"clients/expired", st.SessionsExpired},
		{"messages/received", st.PacketsIn},
		{"messages/sent", st.PacketsOut},
		{"messages/stored", st.Retained + st.Queued},
		{"publish/messages/received", st.MessagesIn},
		{"publish/messages/sent", st.MessagesOut},
		{"publish/messages/dropped", st.Dropped + st.QueueDropped},
		{"publish/bytes/received", st.PayloadIn},
		{"publish/bytes/sent", st.PayloadOut},
		{"bytes/received", st.BytesIn},
		{"bytes/sent", st.BytesOut},
		{"store/messages/count", st.Retained + st.Queued},
		{"store/messages/bytes", st.RetainedBytes + st.QueuedBytes},
		{"store/messages/dropped", st.QueueDropped},
		{"retained messages/count", st.Retained},
		{"subscriptions/count", st.Subscriptions},
		{"shared_subscriptions/count", st.SharedSubscriptions},
	} {
		s.say(v.name, strconv.FormatInt(v.value, 10))
	}
	s.memory()
	s.store()
	for i := range s.loads {
		s.average(&s.loads[i], &st, since)
	}
	s.router.flush()
}

// memory says how large the heap is, as mosquitto does where it counts its own.
func (s *sys) memory() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	now := heap[0].Value.Uint64()
	s.heap = max(s.heap, now)
	s.say("heap/current", strconv.FormatUint(now, 10))
	s.say("heap/maximum", strconv.FormatUint(s.heap, 10))
}

// store says how the disk is. Sizes are in bytes, latencies in milliseconds, the
// card's life in days.
func (s *sys) store() {
	st := s.b.store.Stats()
	w := &st.Wear
	for _, v := range []struct {
		name  string
		value int64 // -1: not known
	}{
		{"disk/used", st.SpoolBytes},
		{"disk/limit", st.MaxBytes},
		{"disk/free", st.FreeBytes},
		{"commits/count", st.Commits},
		{"spared/messages", st.Spared},
		{"spared/bytes", st.SparedBytes},
		{"today/payload", w.Payload},
		{"today/files", w.Files},
		{"today/disk", w.Disk},
		{"card/per_day", w.PerDay},
		{"card/life", w.LifeDays},
		{"card/emmc_used", int64(w.EMMCUsed)},
		{"lost", int64(st.Lost)},
	} {
		if v.value < 0 {
			s.say("store/"+v.name, "unknown")
		} else {
			s.say("store/"+v.name, strconv.FormatInt(v.value, 10))
		}
	}
	for name, d := range map[string]time.Duration{"p50": st.CommitP50, "p99": st.CommitP99} {
		s.say("store/commits/"+name, strconv.FormatFloat(float64(d)/1e6, 'f', 3, 64))
	}
	s.say("store/today/amplification", strconv.FormatFloat(w.Amplification, 'f', 1, 64))
	var alarms []string
	for _, a := range st.Alarms() {
		alarms = append(alarms, a.Name)
	}
	s.say("store/alarms", cmp.Or(strings.Join(alarms, " "), "none"))
}

// average brings a load up to date and says it.
func (s *sys) average(l *load, st *Stats, since time.Duration) {
	total := l.of(st)
	if since > 0 {
		rate := float64(total-l.last) / since.Minutes()
		for i, minutes := range loadMinutes {
			keep := math.Exp(-since.Minutes() / float64(minutes))
			l.average[i] = rate + keep*(l.average[i]-rate)
		}
	}
	l.last = total
	for i, minutes := range loadMinutes {
		s.say(fmt.Sprintf("load/%s/%dmin", l.name, minutes), strconv.FormatFloat(l.average[i], 'f', 2, 64))
	}
}

func (s *sys) say(name, value string) {
	if s.said[name] == value {
		return
	}
	s.said[name] = value
	m := message{topic: []byte(SysPrefix + "broker/" + name), payload: []byte(value), retain: true}
	s.router.route(&m, time.Now())
}
