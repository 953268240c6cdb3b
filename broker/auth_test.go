package broker_test

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"headgate/broker"
	"headgate/broker/auth"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

func as(user, password string) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.HasUsername, p.Username = true, []byte(user)
		p.HasPassword, p.Password = true, []byte(password)
	}
}

// plant has two users, who may each use a tree of their own.
func plant(c *broker.Config) {
	c.User = []auth.UserConfig{{Name: "ann", Password: "a"}, {Name: "bob", Password: "b"}}
	c.ACL = []auth.RuleConfig{
		{Topics: []string{"%u/#"}, Allow: "all"},
		{Topics: []string{"news/#"}, Allow: "subscribe"},
		{Topics: []string{"news/secret"}, Deny: "all"},
		{Users: []string{"ann"}, Topics: []string{"news/#"}, Allow: "publish"},
	}
}

func TestRightsAreCheckedAtEveryDoor(t *testing.T) {
	s := brokertest.Start(t, plant)
	ann, _ := brokertest.Connect(t, s.Addr, packet.V5, "a", as("ann", "a"))
	bob, _ := brokertest.Connect(t, s.Addr, packet.V5, "b", as("bob", "b"))
	refused := func(c *brokertest.Client, topic string, qos byte) {
		t.Helper()
		p := packet.Publish{Topic: []byte(topic), QoS: qos, PacketID: 99}
		c.Send(p.Append(nil, packet.V5))
		want := packet.PUBACK
		if qos == 2 {
			want = packet.PUBREC
		}
		if r := c.WantAck(want, 99); r != packet.NotAuthorized {
			t.Errorf("publish to %s: %v", topic, r)
		}
	}
	refused(bob, "ann/x", 1)
	refused(bob, "ann/x", 2)
	refused(bob, "news/today", 1)
	refused(ann, "news/secret", 1)
	refused(ann, "$SYS/broker/x", 1)
	got := bob.Subscribe(
		packet.Subscription{Filter: []byte("ann/#")}, packet.Subscription{Filter: []byte("news/secret")},
		packet.Subscription{Filter: []byte("$share/g/news/#")}, packet.Subscription{Filter: []byte("#"), QoS: 1})
	if fmt.Sprint(got) != "[not authorized not authorized not authorized granted QoS 1]" {
		t.Errorf("subscriptions are answered with %v", got)
	}
	// A wide filter gives what is allowed of it.
	ann.Publish("ann/own", "1", 1)
	ann.Publish("news/today", "2", 1)
	bob.Want("news/today", "2", 1)
	bob.Silent()
	// Retained ones too.
	ann.Publish("ann/kept", "3", 1, brokertest.Retained)
	bob.Subscribe(packet.Subscription{Filter: []byte("#")})
	bob.Silent()
	// A will that is not allowed is refused at once.
	c := brokertest.Dial(t, s.Addr, packet.V5)
	ack := c.Connect("w", as("bob", "b"), func(p *packet.Connect) { p.HasWill, p.Will = true, packet.Will{Topic: []byte("ann/x")} })
	if ack.Reason != packet.NotAuthorized {
		t.Errorf("a will that is not allowed: %v", ack.Reason)
	}
	// 3.1.1 has no word for it: the message is acknowledged and goes nowhere.
	old, _ := brokertest.Connect(t, s.Addr, packet.V311, "old", as("bob", "b"))
	annSub, _ := brokertest.Connect(t, s.Addr, packet.V5, "as", as("ann", "a"))
	annSub.SubscribeTo("ann/#", 0)
	annSub.Want("ann/kept", "3", 0)
	old.Publish("ann/x", "no", 1)
	annSub.Silent()
	if n := s.Broker.Stats().Denied; n != 9 {
		t.Errorf("%d are counted as denied, want 9", n)
	}
}

func TestAnOfflineSessionGetsWhatItsUserMayReceive(t *testing.T) {
	s := brokertest.Start(t, plant)
	bob, _ := brokertest.Connect(t, s.Addr, packet.V5, "b", as("bob", "b"), brokertest.Persistent)
	bob.SubscribeTo("#", 1)
	bob.Disconnect()
	s.Restart()
	ann, _ := brokertest.Connect(t, s.Addr, packet.V5, "a", as("ann", "a"))
	ann.Publish("ann/own", "1", 1)
	ann.Publish("news/today", "2", 1)
	bob, _ = brokertest.Connect(t, s.Addr, packet.V5, "b", as("bob", "b"), brokertest.Persistent)
	bob.Want("news/today", "2", 1)
	bob.Silent()
}

func TestNobodyTakesOverTheSessionOfAnotherUser(t *testing.T) {
	s := brokertest.Start(t, plant)
	bob, _ := brokertest.Connect(t, s.Addr, packet.V5, "b", as("bob", "b"), brokertest.Persistent)
	bob.SubscribeTo("bob/#", 1)
	thief := brokertest.Dial(t, s.Addr, packet.V5)
	if r := thief.Connect("b", as("ann", "a"), brokertest.Persistent).Reason; r != packet.ClientIdentifierNotValid {
		t.Errorf("while it is connected: %v", r)
	}
	bob.Publish("bob/x", "1", 1)
	bob.Want("bob/x", "1", 1)
	bob.Disconnect()
	thief = brokertest.Dial(t, s.Addr, packet.V311)
	if r := thief.Connect("b", as("ann", "a")).Reason; r != packet.ConnectIdentifierRejected {
		t.Errorf("while it is away: %v", r)
	}
	if _, ack := brokertest.Connect(t, s.Addr, packet.V5, "b", as("bob", "b"), brokertest.Persistent); !ack.SessionPresent {
		t.Error("the session is gone")
	}
}

func TestAReloadIsInForceForConnectionsThatAreThere(t *testing.T) {
	var cfg broker.Config
	s := brokertest.Start(t, plant, func(c *broker.Config) { cfg = *c })
	ann, _ := brokertest.Connect(t, s.Addr, packet.V5, "a", as("ann", "a"))
	bob, _ := brokertest.Connect(t, s.Addr, packet.V5, "b", as("bob", "b"))
	bob.SubscribeTo("#", 1)
	ann.Publish("news/today", "1", 1)
	bob.Want("news/today", "1", 1)
	cfg.SetDefaults()
	cfg.User = []auth.UserConfig{{Name: "bob", Password: "new"}, {Name: "cid", Password: "c"}}
	cfg.ACL = []auth.RuleConfig{{Topics: []string{"plant/#"}, Allow: "all"}}
	cfg.MaxTopicLevels = 3
	if err := s.Broker.Reload(cfg); err != nil {
		t.Fatalf("reload: %v", err)
	}
	if r := ann.Closed(); r != packet.AdministrativeAction {
		t.Errorf("a user that is gone is disconnected with %v", r)
	}
	cid, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", as("cid", "c"))
	cid.Publish("plant/x", "2", 1)
	bob.Want("plant/x", "2", 1)
	p := packet.Publish{Topic: []byte("news/today"), QoS: 1, PacketID: 9}
	bob.Send(p.Append(nil, packet.V5))
	if r := bob.WantAck(packet.PUBACK, 9); r != packet.NotAuthorized {
		t.Errorf("what is not allowed any more: %v", r)
	}
	deep := packet.Publish{Topic: []byte("plant/a/b/c")}
	bob.Send(deep.Append(nil, packet.V5))
	if r := bob.Closed(); r != packet.TopicNameInvalid {
		t.Errorf("past the new limit: %v", r)
	}
	cfg.Listener = nil
	if err := s.Broker.Reload(cfg); err != nil {
		t.Errorf("a listener that is gone: %v", err)
	}
	if r := cid.Closed(); r != packet.ServerShuttingDown {
		t.Errorf("a client of a listener that is gone is disconnected with %v", r)
	}
}

func TestGuessingPasswordsIsSlowed(t *testing.T) {
	s := brokertest.Start(t, plant, func(c *broker.Config) { c.Listener[0].ProxyProtocol = true })
	try := func(password string) packet.ReasonCode {
		c := brokertest.Dial(t, s.Addr, packet.V5)
		c.Send([]byte("PROXY TCP4 203.0.113.9 127.0.0.1 50000 1883\r\n"))
		return c.Connect("x", as("ann", password)).Reason
	}
	for range 3 {
		if r := try("wrong"); r != packet.BadUserNameOrPassword {
			t.Fatalf("a wrong password: %v", r)
		}
	}
	if r := try("a"); r != packet.ConnectionRateExceeded {
		t.Errorf("the right one, but too soon: %v", r)
	}
	if n := s.Broker.Stats().RefusedAuth; n != 4 {
		t.Errorf("%d are counted, want 4", n)
	}
}

// scramClient is the client side of RFC 5802, as far as a test needs it.
type scramClient struct{ user, password, first string }

func (c *scramClient) begin() []byte {
	c.first = "n=" + c.user + ",r=nonce"
	return []byte("n,," + c.first)
}

func (c *scramClient) answer(challenge []byte) []byte {
	var salt string
	var iterations int
	nonce, rest, _ := strings.Cut(string(challenge), ",s=")
	salt, rest, _ = strings.Cut(rest, ",i=")
	fmt.Sscan(rest, &iterations)
	raw, _ := base64.StdEncoding.DecodeString(salt)
	salted, _ := pbkdf2.Key(sha256.New, c.password, raw, iterations, 32)
	sign := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	key := sign(salted, "Client Key")
	stored := sha256.Sum256(key)
	final := "c=biws," + nonce
	signature := sign(stored[:], c.first+","+string(challenge)+","+final)
	for i := range key {
		key[i] ^= signature[i]
	}
	return []byte(final + ",p=" + base64.StdEncoding.EncodeToString(key))
}

func withMethod(method string, data []byte) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.Properties.AuthMethod, p.Properties.AuthData = []byte(method), data
		p.Properties.Set(packet.PropAuthMethod)
		p.Properties.Set(packet.PropAuthData)
	}
}

func TestAClientAuthenticatesBySCRAMAndAgain(t *testing.T) {
	s := brokertest.Start(t, plant)
	c := brokertest.Dial(t, s.Addr, packet.V5)
	sc := scramClient{user: "ann", password: "a"}
	c.SendConnect("c", withMethod("SCRAM-SHA-256", sc.begin()), func(p *packet.Connect) {
		p.HasWill, p.Will = true, packet.Will{Topic: []byte("ann/will"), Payload: []byte("last words")}
	})
	challenge := c.WantAuth(packet.ContinueAuthentication)
	c.SendAuth(packet.ContinueAuthentication, "SCRAM-SHA-256", sc.answer(challenge))
	ack := c.WantConnack()
	if ack.Reason != packet.Success || !strings.HasPrefix(string(ack.Properties.AuthData), "v=") || string(ack.Properties.AuthMethod) != "SCRAM-SHA-256" {
		t.Fatalf("CONNACK %v with %q", ack.Reason, ack.Properties.AuthData)
	}
	c.SubscribeTo("ann/x", 0)
	watcher, _ := brokertest.Connect(t, s.Addr, packet.V5, "watcher", as("ann", "a"))
	watcher.SubscribeTo("ann/will", 0)
	c.SendAuth(packet.ReAuthenticate, "SCRAM-SHA-256", sc.begin())
	challenge = c.WantAuth(packet.ContinueAuthentication)
	c.Publish("ann/x", "meanwhile", 1)
	c.Want("ann/x", "meanwhile", 0)
	c.SendAuth(packet.ContinueAuthentication, "SCRAM-SHA-256", sc.answer(challenge))
	if data := c.WantAuth(packet.Success); !strings.HasPrefix(string(data), "v=") {
		t.Errorf("the server does not prove itself: %q", data)
	}
	// As somebody else: no. [MQTT-4.12.1-2]
	sc = scramClient{user: "bob", password: "b"}
	c.SendAuth(packet.ReAuthenticate, "SCRAM-SHA-256", sc.begin())
	challenge = c.WantAuth(packet.ContinueAuthentication)
	c.SendAuth(packet.ContinueAuthentication, "SCRAM-SHA-256", sc.answer(challenge))
	if r := c.Closed(); r != packet.NotAuthorized {
		t.Errorf("closed with %v", r)
	}
	watcher.Want("ann/will", "last words", 0)
}

func TestEnhancedAuthenticationFailsWithItsReason(t *testing.T) {
	s := brokertest.Start(t, plant)
	c := brokertest.Dial(t, s.Addr, packet.V5)
	if r := c.Connect("c", withMethod("GS2-KRB5", nil)).Reason; r != packet.BadAuthenticationMethod {
		t.Errorf("an unknown method: %v", r)
	}
	for user, password := range map[string]string{"ann": "wrong", "nobody": "a"} {
		c := brokertest.Dial(t, s.Addr, packet.V5)
		sc := scramClient{user: user, password: password}
		c.SendConnect("c", withMethod("SCRAM-SHA-256", sc.begin()))
		challenge := c.WantAuth(packet.ContinueAuthentication)
		c.SendAuth(packet.ContinueAuthentication, "SCRAM-SHA-256", sc.answer(challenge))
		if r := c.WantConnack().Reason; r != packet.BadUserNameOrPassword {
			t.Errorf("user %s with password %s: %v", user, password, r)
		}
	}
	// Without a method in the CONNECT there is no AUTH. [MQTT-4.12.0-6]
	c, _ = brokertest.Connect(t, s.Addr, packet.V5, "plain", as("ann", "a"))
	c.SendAuth(packet.ReAuthenticate, "SCRAM-SHA-256", nil)
	if r := c.Closed(); r != packet.ProtocolError {
		t.Errorf("closed with %v", r)
	}
}
