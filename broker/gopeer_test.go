package broker_test

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// received is what a subscriber got: how often each number came, in its order.
type received struct {
	mu    sync.Mutex
	times map[int]int
	order []int
}

// take notes a message. One that comes again says so: a client that lost its
// PUBREC hands it out twice.
func (r *received) take(payload []byte, dup bool) {
	n, _ := strconv.Atoi(string(payload))
	r.mu.Lock()
	defer r.mu.Unlock()
	if dup && r.times[n] > 0 {
		return
	}
	if r.times == nil {
		r.times = make(map[int]int)
	}
	r.times[n]++
	r.order = append(r.order, n)
}

func (r *received) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// want wants 0 to n-1, each once at QoS 2, or at least once.
func (r *received) want(t *testing.T, n int, once bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); r.len() < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d came", r.len(), n)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range n {
		if r.times[i] == 0 || once && r.times[i] != 1 {
			t.Errorf("message %d came %d times", i, r.times[i])
		}
	}
	last := -1
	for _, i := range r.order {
		if i > last+1 {
			// These clients dispatch each connection's messages by themselves.
			t.Logf("message %d came after %d: %v", i, last, r.order)
		}
		last = max(last, i)
	}
}

const resumed = 120 // messages of the two tests below

func TestPahosGoClientFor3LosesNothingOverARestartOfTheBroker(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		s := brokertest.Start(t)
		connect := func(id string) mqtt.Client {
			o := mqtt.NewClientOptions().AddBroker("tcp://" + s.Addr).SetClientID(id).SetProtocolVersion(4).SetCleanSession(false).
				SetAutoReconnect(true).SetMaxReconnectInterval(50 * time.Millisecond).SetConnectRetryInterval(50 * time.Millisecond).SetOrderMatters(true).SetResumeSubs(true)
			c := mqtt.NewClient(o)
			if tok := c.Connect(); !tok.WaitTimeout(20*time.Second) || tok.Error() != nil {
				t.Fatalf("connect: %v", tok.Error())
			}
			t.Cleanup(func() { c.Disconnect(0) })
			return c
		}
		var got received
		sub := connect("sub")
		if tok := sub.Subscribe("n", qos, func(_ mqtt.Client, m mqtt.Message) { got.take(m.Payload(), m.Duplicate()) }); !tok.WaitTimeout(20*time.Second) || tok.Error() != nil {
			t.Fatalf("subscribe: %v", tok.Error())
		}
		pub := connect("pub")
		for i := range resumed {
			tok := pub.Publish("n", qos, false, fmt.Sprint(i))
			if i == resumed/3 || i == resumed/2 {
				s.RestartInPlace()
			}
			if !tok.WaitTimeout(30 * time.Second) {
				t.Fatalf("message %d is not acknowledged", i)
			}
		}
		got.want(t, resumed, qos == 2)
	}
}

func TestPahosGoClientFor5LosesNothingOverARestartOfTheBroker(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		s := brokertest.Start(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		u, err := url.Parse("mqtt://" + s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		var got received
		subscribed := make(chan error, 100)
		connect := func(id string, up func(*autopaho.ConnectionManager)) *autopaho.ConnectionManager {
			cm, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
				ServerUrls: []*url.URL{u}, KeepAlive: 20, SessionExpiryInterval: 3600,
				ReconnectBackoff: func(int) time.Duration { return 20 * time.Millisecond },
				OnConnectionUp:   func(cm *autopaho.ConnectionManager, _ *paho.Connack) { up(cm) },
				ClientConfig: paho.ClientConfig{ClientID: id, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
					func(p paho.PublishReceived) (bool, error) {
						got.take(p.Packet.Payload, p.Packet.Duplicate())
						return true, nil
					},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := cm.AwaitConnection(ctx); err != nil {
				t.Fatal(err)
			}
			return cm
		}
		sub := connect("sub", func(cm *autopaho.ConnectionManager) {
			_, err := cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "n", QoS: qos}}})
			subscribed <- err
		})
		if err := <-subscribed; err != nil {
			t.Fatal(err)
		}
		pub := connect("pub", func(*autopaho.ConnectionManager) {})
		for i := range resumed {
			if i == resumed/3 || i == resumed/2 {
				s.RestartInPlace()
			}
			for {
				if err := pub.AwaitConnection(ctx); err != nil {
					t.Fatal(err)
				}
				ack, err := pub.Publish(ctx, &paho.Publish{Topic: "n", QoS: qos, Payload: []byte(fmt.Sprint(i))})
				if err == nil && packet.ReasonCode(ack.ReasonCode).Failed() {
					t.Fatalf("message %d: reason code %d", i, ack.ReasonCode)
				}
				if err == nil {
					break
				}
				if qos == 2 || ctx.Err() != nil {
					break // it is in the client's session, and comes
				}
			}
		}
		got.want(t, resumed, qos == 2)
		for _, cm := range []*autopaho.ConnectionManager{pub, sub} {
			// The client writes to nobody if an answer comes while it disconnects: after
			// one more message none is due.
			if _, err := cm.Publish(ctx, &paho.Publish{Topic: "end", QoS: 2, Payload: []byte{}}); err != nil {
				t.Error(err)
			}
			cm.Disconnect(ctx)
		}
	}
}
