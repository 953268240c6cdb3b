package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// publisher is an MQTT 3.1.1 client that nobody here wrote. It publishes the
// numbers from 0 on to one topic, with many on their way at a time, until it is
// told to stop; when its connection breaks, it connects again and goes on where
// the session stands.
type publisher struct {
	t     testing.TB
	topic string
	qos   byte
	conn  mqtt.Client
	stop  chan struct{}
	done  chan struct{}

	mu    sync.Mutex // guards acked and sent
	acked []int      // numbers that the broker has acknowledged
	sent  int
}

// publishNumbers starts one. addr gives where the broker is now, "" while it is
// nowhere.
func publishNumbers(t testing.TB, addr func() string, topic string, qos byte) *publisher {
	t.Helper()
	p := &publisher{t: t, topic: topic, qos: qos, stop: make(chan struct{}), done: make(chan struct{})}
	o := mqtt.NewClientOptions().AddBroker("tcp://headgate").SetClientID("publisher-" + topic)
	o.SetCleanSession(false).SetProtocolVersion(4).SetStore(mqtt.NewOrderedMemoryStore())
	o.SetOrderMatters(true).SetAutoReconnect(true).SetConnectRetry(true)
	o.SetConnectRetryInterval(20 * time.Millisecond).SetMaxReconnectInterval(50 * time.Millisecond)
	o.SetWriteTimeout(hang)
	o.SetLogger(slog.New(slog.DiscardHandler))
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		a := addr()
		if a == "" {
			return nil, errors.New("the broker is away")
		}
		return net.Dial("tcp", a)
	})
	p.conn = mqtt.NewClient(o)
	if token := p.conn.Connect(); !token.WaitTimeout(hang) || token.Error() != nil {
		t.Fatalf("connect the publisher: %v", token.Error())
	}
	go p.run()
	t.Cleanup(func() {
		p.finish()
		p.conn.Disconnect(0)
	})
	return p
}

// inFlight is how many messages a publisher has on their way.
const inFlight = 20

func (p *publisher) run() {
	defer close(p.done)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	slots := make(chan struct{}, inFlight)
	for n := 0; ; n++ {
		select {
		case slots <- struct{}{}:
		case <-p.stop:
			return
		}
		token := p.conn.Publish(p.topic, p.qos, false, strconv.Itoa(n))
		p.mu.Lock()
		p.sent = n + 1
		p.mu.Unlock()
		waiting.Go(func() {
			if !token.WaitTimeout(hang) || token.Error() != nil {
				p.t.Errorf("%s: number %d is not acknowledged: %v", p.topic, n, token.Error())
			} else {
				p.mu.Lock()
				p.acked = append(p.acked, n)
				p.mu.Unlock()
			}
			<-slots
		})
	}
}

// acknowledged is how many numbers have been.
func (p *publisher) acknowledged() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}

// finish publishes nothing more, and waits until all that was is acknowledged.
func (p *publisher) finish() (count int) {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// numbers is what became of numbers 0 to count-1.
type numbers struct {
	missing  []int
	repeated int
	disorder int // first arrivals after a greater number
	unknown  []string
}

func (n numbers) String() string {
	return fmt.Sprintf("%d missing %v, %d repeated, %d out of order, unknown %v", len(n.missing), first(n.missing), n.repeated, n.disorder, first(n.unknown))
}

func first[T any](s []T) []T { return s[:min(len(s), 10)] }

// count looks through the payloads of a topic.
func count(payloads []string, want int) numbers {
	var r numbers
	times := make([]int, want)
	last := -1
	for _, p := range payloads {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || n >= want {
			r.unknown = append(r.unknown, p)
			continue
		}
		if times[n]++; times[n] > 1 {
			r.repeated++
			continue
		}
		if n < last {
			r.disorder++
		}
		last = max(n, last)
	}
	for n, c := range times {
		if c == 0 {
			r.missing = append(r.missing, n)
		}
	}
	return r
}

// arrived waits until every number to want is among the payloads that get gives.
func arrived(t testing.TB, what string, get func() []string, want int) {
	t.Helper()
	var last numbers
	defer func() {
		if t.Failed() {
			t.Logf("%s: of %d: %v", what, want, last)
		}
	}()
	seen := -1
	eventually(t, what, func() bool {
		got := get()
		if len(got) == seen {
			return false
		}
		seen = len(got)
		last = count(got, want)
		return len(last.missing) == 0
	})
}
