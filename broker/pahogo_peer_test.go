package broker_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/extensions/topicaliases"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"headgate/broker"
	"headgate/broker/auth"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
)

// onWebSocket makes the only listener one for WebSocket, which keeps its port
// over restarts.
func onWebSocket(t *testing.T) func(*broker.Config) {
	t.Helper()
	c := listen.Config{URL: "ws://" + quietAddress(t) + "/mqtt"}
	return func(cfg *broker.Config) { cfg.Listener = []listen.Config{c} }
}

// counted is what a subscriber got of the numbers from 0 on.
type counted struct {
	mu    sync.Mutex // guards times
	times map[int]int
}

func (c *counted) take(payload []byte) {
	n, _, _ := strings.Cut(string(payload), " ")
	i, err := strconv.Atoi(n)
	if err != nil {
		i = -1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = make(map[int]int)
	}
	c.times[i]++
}

func (c *counted) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times)
}

// check wants each of n numbers, and where once is said none of them twice.
func (c *counted) check(t *testing.T, n int, once bool) {
	t.Helper()
	waitUntil(t, "all came", func() bool { return c.len() >= n })
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range n {
		if times := c.times[i]; times == 0 || once && times > 1 {
			t.Errorf("message %d came %d times", i, times)
		}
	}
	if len(c.times) != n {
		t.Errorf("%d different messages came, want %d", len(c.times), n)
	}
}

// onTheirWay is how many messages the two tests below send, without waiting for
// the answer to any of them; payload is what is in them.
const onTheirWay = 400

func payload(i int) string { return fmt.Sprint(i, strings.Repeat(" .", 200)) }

// At QoS 2 this client sends a PUBLISH again whose PUBREL it has sent before
// (paho.mqtt.golang#788), so that here a message may come twice all the same.
func TestPahosGoClientFor3ResumesOverWebSocketWithManyMessagesOnTheirWay(t *testing.T) {
	t.Parallel()
	for qos := byte(1); qos <= 2; qos++ {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			t.Parallel()
			s := brokertest.Start(t, onWebSocket(t))
			done := func(tok mqtt.Token) {
				t.Helper()
				if !tok.WaitTimeout(30*time.Second) || tok.Error() != nil {
					t.Fatalf("no answer, or a bad one: %v", tok.Error())
				}
			}
			connect := func(id string) mqtt.Client {
				c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ws://" + s.Addr + "/mqtt").SetClientID(id).SetProtocolVersion(4).
					SetCleanSession(false).SetStore(mqtt.NewOrderedMemoryStore()).SetMaxReconnectInterval(50 * time.Millisecond))
				done(c.Connect())
				t.Cleanup(func() { c.Disconnect(0) })
				return c
			}
			var got counted
			done(connect("sub").Subscribe("n", qos, func(_ mqtt.Client, m mqtt.Message) { got.take(m.Payload()) }))
			pub := connect("pub")
			var tokens []mqtt.Token
			for i := range onTheirWay {
				tokens = append(tokens, pub.Publish("n", qos, false, payload(i)))
			}
			waitUntil(t, "some came", func() bool { return got.len() > 10 })
			s.Restart()
			for _, tok := range tokens {
				done(tok)
			}
			got.check(t, onTheirWay, false)
		})
	}
}

// five is a client of 5.0 that connects again by itself.
func five(t *testing.T, u *url.URL, id string, change func(*autopaho.ClientConfig)) *autopaho.ConnectionManager {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cfg := autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, KeepAlive: 20, SessionExpiryInterval: 3600,
		ReconnectBackoff: func(int) time.Duration { return 20 * time.Millisecond },
		ClientConfig:     paho.ClientConfig{ClientID: id},
	}
	change(&cfg)
	cm, err := autopaho.NewConnection(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cm.Disconnect(ctx)
		cancel()
	})
	if err := cm.AwaitConnection(ctx); err != nil {
		t.Fatal(err)
	}
	return cm
}

func subscribeFive(t *testing.T, cm *autopaho.ConnectionManager, filter string, qos byte) {
	t.Helper()
	if _, err := cm.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}}}); err != nil {
		t.Fatal(err)
	}
}

func TestPahosGoClientFor5ResumesOverWebSocketWithManyMessagesOnTheirWay(t *testing.T) {
	t.Parallel()
	for qos := byte(1); qos <= 2; qos++ {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			t.Parallel()
			s := brokertest.Start(t, onWebSocket(t))
			u := &url.URL{Scheme: "ws", Host: s.Addr, Path: "/mqtt"}
			var got counted
			sub := five(t, u, "sub", func(c *autopaho.ClientConfig) {
				c.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
					got.take(p.Packet.Payload)
					return true, nil
				}}
			})
			subscribeFive(t, sub, "n", qos) // once: the session keeps it
			pub := five(t, u, "pub", func(*autopaho.ClientConfig) {})
			for i := range onTheirWay {
				p := &paho.Publish{Topic: "n", QoS: qos, Payload: []byte(payload(i))}
				if err := pub.PublishViaQueue(t.Context(), &autopaho.QueuePublish{Publish: p}); err != nil {
					t.Fatal(err)
				}
			}
			waitUntil(t, "some came", func() bool { return got.len() > 10 })
			s.Restart()
			got.check(t, onTheirWay, qos == 2)
		})
	}
}

func TestPahosGoClientFor5HasTopicAliasesBothWays(t *testing.T) {
	t.Parallel()
	s := brokertest.Start(t)
	u := &url.URL{Scheme: "mqtt", Host: s.Addr}
	var mu sync.Mutex
	var got []string
	bare := 0 // PUBLISH packets that came without a topic
	router := paho.NewStandardRouter()
	for _, topic := range []string{"a/0", "a/1", "a/2"} {
		router.RegisterHandler(topic, func(p *paho.Publish) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, topic+" "+string(p.Payload))
		})
	}
	sub := five(t, u, "sub", func(c *autopaho.ClientConfig) {
		c.ConnectPacketBuilder = func(p *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			p.Properties.TopicAliasMaximum = paho.Uint16(2) // fewer than topics
			return p, nil
		}
		c.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if p.Packet.Topic == "" {
				bare++
			}
			return false, nil
		}}
		c.Router = router
	})
	subscribeFive(t, sub, "a/+", 1)
	aliases := topicaliases.NewTAHandler(10)
	sent := 0 // likewise
	pub := five(t, u, "pub", func(c *autopaho.ClientConfig) {
		c.PublishHook = func(p *paho.Publish) {
			aliases.PublishHook(p)
			if p.Topic == "" {
				sent++
			}
		}
	})
	var want []string
	for i := range 12 {
		topic := fmt.Sprint("a/", i%3)
		if _, err := pub.Publish(t.Context(), &paho.Publish{Topic: topic, QoS: byte(i % 2), Payload: []byte(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint(topic, " ", i))
	}
	all := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) >= len(want)
	}
	waitUntil(t, "all came", all)
	mu.Lock()
	defer mu.Unlock()
	// What goes by the log may be overtaken by QoS 0, but each keeps its order.
	for qos := range 2 {
		other := func(m string) bool {
			n, err := strconv.Atoi(m[strings.LastIndexByte(m, ' ')+1:])
			return err != nil || n%2 != qos
		}
		if g, w := slices.DeleteFunc(slices.Clone(got), other), slices.DeleteFunc(slices.Clone(want), other); !slices.Equal(g, w) {
			t.Errorf("at QoS %d: got %q, want %q", qos, g, w)
		}
	}
	if sent != 9 || bare != 6 {
		t.Errorf("%d went and %d came without a topic, want 9 and 6", sent, bare)
	}
}

// scramAuther answers the broker's challenges for paho.
type scramAuther struct {
	scramClient
	authenticated chan struct{}
}

func (a *scramAuther) auth(reason byte, data []byte) *paho.Auth {
	return &paho.Auth{ReasonCode: reason, Properties: &paho.AuthProperties{AuthMethod: auth.ScramMethod, AuthData: data}}
}

func (a *scramAuther) Authenticate(challenge *paho.Auth) *paho.Auth {
	return a.auth(0x18, a.answer(challenge.Properties.AuthData)) // continue
}

func (a *scramAuther) Authenticated() { a.authenticated <- struct{}{} }

func TestPahosGoClientFor5AuthenticatesBySCRAMAndAgain(t *testing.T) {
	t.Parallel()
	s := brokertest.Start(t, plant)
	u := &url.URL{Scheme: "mqtt", Host: s.Addr}
	a := &scramAuther{scramClient: scramClient{user: "ann", password: "a"}, authenticated: make(chan struct{}, 10)}
	connack := make(chan *paho.Connack, 10)
	cm := five(t, u, "c", func(c *autopaho.ClientConfig) {
		c.AuthHandler = a
		c.OnConnectionUp = func(_ *autopaho.ConnectionManager, ack *paho.Connack) { connack <- ack }
		c.ConnectPacketBuilder = func(p *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			p.Properties.AuthMethod, p.Properties.AuthData = auth.ScramMethod, a.begin()
			return p, nil
		}
	})
	if p := (<-connack).Properties; p.AuthMethod != auth.ScramMethod || !strings.HasPrefix(string(p.AuthData), "v=") {
		t.Errorf("the CONNACK has method %q and data %q, want the server's signature", p.AuthMethod, p.AuthData)
	}
	<-a.authenticated
	// It is ann, who may publish to her own tree only.
	for topic, want := range map[string]byte{"ann/x": 0x10, "bob/x": 0x87} {
		ack, err := cm.Publish(t.Context(), &paho.Publish{Topic: topic, QoS: 1})
		if ack == nil || ack.ReasonCode != want {
			t.Errorf("publish to %s: got %+v, %v, want reason code %#x", topic, ack, err, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if r, err := cm.Authenticate(ctx, a.auth(0x19, a.begin())); err != nil || !r.Success {
		t.Errorf("authenticate again: %+v, %v", r, err)
	}
	a.password = "wrong"
	if r, err := cm.Authenticate(ctx, a.auth(0x19, a.begin())); err != nil || r.Success || r.ReasonCode != 0x87 {
		t.Errorf("authenticate again with a wrong password: %+v, %v, want DISCONNECT with 0x87", r, err)
	}
}
