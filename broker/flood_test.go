package broker_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// connections is how many goroutines serve one.
func connections() int {
	b := make([]byte, 4<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "broker.(*conn).run(")
}

// served wants another client to be served while a test's hostile ones are there.
func served(t *testing.T, s *brokertest.Server) {
	t.Helper()
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "served")
	c.SubscribeTo("served", 2)
	for qos := byte(0); qos <= 2; qos++ {
		c.Publish("served", "still", qos)
		c.Want("served", "still", qos)
	}
	c.Disconnect()
}

// raw opens a connection and sends bytes.
func raw(t *testing.T, s *brokertest.Server, b []byte) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
	return nc
}

// closedByServer wants the server to end a connection.
func closedByServer(t *testing.T, nc net.Conn) {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 4096)
	for {
		_, err := nc.Read(buf)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal("the server keeps the connection")
		}
		if err != nil {
			return
		}
	}
}

func TestAConnectThatTricklesIsEndedInTime(t *testing.T) {
	s := brokertest.Start(t, func(c *broker.Config) { c.ConnectTimeout = 300 * time.Millisecond })
	var slow []net.Conn
	for range 50 {
		slow = append(slow, raw(t, s, []byte{0x10})) // and no more
	}
	slow = append(slow, raw(t, s, nil))
	served(t, s)
	for _, nc := range slow {
		closedByServer(t, nc)
	}
}

func TestFiveThousandConnectsInFlightCostLittleAndOthersAreServed(t *testing.T) {
	n := 5000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && int(limit.Cur) < 2*n+500 {
		n = max(100, (int(limit.Cur)-500)/2) // both ends are in this process
		t.Logf("%d connections: this process may open %d files", n, limit.Cur)
	}
	s := brokertest.Start(t, func(c *broker.Config) { c.MaxConnections = broker.Count(n + 10) })
	before := heap()
	conns := make([]net.Conn, 0, n)
	half := []byte{0x10, 0x20, 0, 4, 'M', 'Q'} // a CONNECT that has begun
	for range n {
		conns = append(conns, raw(t, s, half))
	}
	served(t, s)
	if cost := (heap() - before) / int64(n); cost > 40<<10 {
		t.Errorf("each costs %d bytes", cost)
	}
	// One more than there may be, and then some: refused, and the others stay.
	for range 300 {
		nc, err := net.Dial("tcp", s.Addr)
		if err == nil {
			nc.Close()
		}
	}
	await(t, "those to go", func() bool { return s.Broker.Stats().Connections <= int64(n) })
	served(t, s)
	for _, nc := range conns {
		nc.Close()
	}
}

func TestAPacketThatClaimsTheMostIsRefusedAtOnceAndCostsNothing(t *testing.T) {
	s := brokertest.Start(t)
	claim := []byte{0xff, 0xff, 0xff, 0x7f} // 268,435,455
	before := heap()
	for range 50 {
		closedByServer(t, raw(t, s, append([]byte{0x10}, claim...)))
		c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
		c.Send(append([]byte{0x30}, claim...))
		if r := c.Closed(); r != packet.PacketTooLarge {
			t.Fatalf("closed with %v", r)
		}
	}
	if more := heap() - before; more > 4<<20 {
		t.Errorf("%d bytes more are in use", more)
	}
	// The same within what is allowed: it costs what has come, not what it claims.
	s = brokertest.Start(t, func(c *broker.Config) { c.MaxPacketBytes = 8_000_000 })
	before = heap()
	for i := range 100 {
		c, _ := brokertest.Connect(t, s.Addr, packet.V311, fmt.Sprint("slow", i))
		c.Send([]byte{0x30, 0xff, 0xff, 0xff, 0x02, 0, 1, 'a'}) // 6,291,455
	}
	served(t, s)
	if more := heap() - before; more > 10<<20 {
		t.Errorf("100 claims of 6 MB cost %d bytes", more)
	}
}

func TestTheLongestTopicsAndFiltersAreTakenOrRefusedAndBounded(t *testing.T) {
	s := brokertest.Start(t)
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
	long := strings.Repeat("x", 65_535)
	c.SubscribeTo(long, 1)
	c.Publish(long, "hello", 1)
	c.Want(long, "hello", 1)
	deep := strings.Repeat("/", 65_535)
	if r := c.Subscribe(packet.Subscription{Filter: []byte(deep)}); r[0] != packet.TopicFilterInvalid {
		t.Errorf("a filter of 65,536 levels: %v", r)
	}
	before := heap()
	for i := range 2000 { // more than any cache of topics may hold
		topic := append([]byte(fmt.Sprintf("%06d", i)), bytes.Repeat([]byte{'t'}, 60_000)...)
		p := packet.Publish{Topic: topic}
		c.Send(p.Append(nil, packet.V5))
	}
	c.Silent()
	if more := heap() - before; more > 8<<20 {
		t.Errorf("2000 long topics leave %d bytes", more)
	}
	served(t, s)
}

func TestHalfOpenConnectionsEndWithTheirKeepAlive(t *testing.T) {
	t.Parallel()
	s := brokertest.Start(t)
	gone, _ := brokertest.Connect(t, s.Addr, packet.V5, "gone", func(p *packet.Connect) {
		p.KeepAlive = 1
		p.HasWill, p.Will = true, packet.Will{Topic: []byte("will"), Payload: []byte("gone")}
	})
	watch, _ := brokertest.Connect(t, s.Addr, packet.V5, "watch")
	watch.SubscribeTo("will", 0)
	watch.Want("will", "gone", 0)
	if r := gone.Closed(); r != packet.KeepAliveTimeout {
		t.Errorf("closed with %v", r)
	}
}

func TestASubscriberThatNeverReadsSlowsNobodyAndCostsItsLimit(t *testing.T) {
	s := brokertest.Start(t, func(c *broker.Config) { c.MaxQueuedBytes, c.MaxQueuedTotalBytes = 1_000_000, 4_000_000 })
	for i := range 8 {
		dead, _ := brokertest.Connect(t, s.Addr, packet.V311, fmt.Sprint("dead", i))
		dead.SubscribeTo("#", byte(i%3))
	}
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	live, _ := brokertest.Connect(t, s.Addr, packet.V5, "live")
	live.SubscribeTo("t", 1)
	before := heap()
	payload := strings.Repeat("x", 10_000)
	for i := range 3000 { // 30 MB each
		pub.Publish("t", payload, byte(i%3))
		live.Want("t", payload, min(1, byte(i%3)))
	}
	if more := heap() - before; more > 24<<20 {
		t.Errorf("%d bytes more are in use", more)
	}
	if s.Broker.Stats().Dropped == 0 {
		t.Error("nothing was dropped: the test proves nothing")
	}
}

func TestTakeOverStormsLeaveOneClient(t *testing.T) {
	s := brokertest.Start(t)
	for _, persistent := range []bool{false, true} {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 10 {
					nc, err := net.Dial("tcp", s.Addr)
					if err != nil {
						t.Error(err)
						return
					}
					p := packet.Connect{Version: packet.V5, ClientID: []byte("the one"), CleanStart: !persistent}
					if persistent {
						brokertest.Persistent(&p)
					}
					sub := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("#"), QoS: 2}}}
					nc.Write(sub.Append(p.Append(nil), packet.V5))
					nc.SetReadDeadline(time.Now().Add(time.Millisecond))
					nc.Read(make([]byte, 100))
					nc.Close()
				}
			})
		}
		wg.Wait()
		served(t, s)
	}
	for deadline := time.Now().Add(30 * time.Second); connections() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are still served", connections())
		}
	}
	if st := s.Broker.Stats(); st.Panics > 0 || st.Sessions > 2 {
		t.Errorf("%d panics, %d sessions", st.Panics, st.Sessions)
	}
}
