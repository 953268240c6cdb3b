package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// flood publishes at QoS 0 as fast as the broker takes it, and counts what a
// subscriber gets. Both cost next to nothing, so that the broker sets the pace.
type flood struct {
	bytes atomic.Int64
	size  int64 // of a message on the wire
}

const floodPublishers = 2

func startFlood(t *testing.T, address string) *flood {
	t.Helper()
	const topic, payload = "flood/a", 100
	var connections []net.Conn
	// ask sends a packet and reads an answer of so many bytes.
	ask := func(c net.Conn, answer int, request string) {
		t.Helper()
		if _, err := c.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, answer)); err != nil {
			t.Fatalf("no answer came to %q: %v", request, err)
		}
	}
	open := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		connections = append(connections, c)
		ask(c, 4, "\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00") // CONNECT, 3.1.1, a clean session
		return c
	}
	// [MQTT3-3.3]: type, remaining length, the topic with its length, the payload.
	one := append([]byte{0x30, 2 + byte(len(topic)) + payload, 0, byte(len(topic))}, topic...)
	one = append(one, make([]byte, payload)...)
	f := &flood{size: int64(len(one))}
	var running sync.WaitGroup
	subscriber := open()
	ask(subscriber, 5, "\x82\x0c\x00\x01\x00\x07"+topic+"\x00")
	running.Go(func() {
		buffer := make([]byte, 1<<18)
		for {
			n, err := subscriber.Read(buffer)
			f.bytes.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	many := slices.Repeat(one, 500)
	for range floodPublishers {
		c := open()
		running.Go(func() {
			for {
				if _, err := c.Write(many); err != nil {
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		for _, c := range connections {
			c.Close()
		}
		running.Wait()
	})
	return f
}

// measure gives messages a second, and how many of them the gateway passes on for a
// second of its own CPU time: what else the machine does changes that hardly.
func (f *flood) measure(headgate *process, d time.Duration) (perSecond, perCPU float64) {
	before, used, began := f.bytes.Load(), headgate.usage().cpu, time.Now()
	time.Sleep(d)
	n := float64(f.bytes.Load()-before) / float64(f.size)
	return n / time.Since(began).Seconds(), n / (headgate.usage().cpu - used).Seconds()
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// Rounds without and with 50 viewers alternate, in the order ABBA, so that what else
// the machine does meets both alike. The viewers are on this machine too and take of
// its time, and so does everybody else: what counts is how many messages the gateway
// passes on for a second of its own time, and before that what the viewers alone take
// of that.
func TestFiftyViewersDoNotSlowTheBroker(t *testing.T) {
	if os.Getenv("HEADGATE_PROOF") == "" {
		t.Skip("HEADGATE_PROOF is not set: it takes four minutes")
	}
	const quiet, pairs, measured, settle, viewers = 7, 40, 2 * time.Second, 700 * time.Millisecond, 50
	headgate := runHeadgate(t, fmt.Sprintf("[gateway]\nid = \"big\"\ndata_dir = %q\n[web]\nlisten = \"127.0.0.1:0\"\n%s", t.TempDir(), bigPlant(t)))
	time.Sleep(5 * time.Second)
	var alone []float64
	for range quiet {
		var share [2]float64
		for i, n := range []int{0, viewers} {
			leave := headgate.viewers(n)
			time.Sleep(settle)
			before := headgate.usage().cpu
			time.Sleep(2 * measured)
			share[i] = 100 * (headgate.usage().cpu - before).Seconds() / (2 * measured).Seconds()
			leave()
		}
		alone = append(alone, share[1]-share[0])
	}
	t.Logf("without a flood %d viewers take %.2f %% of a core (median; %.2f to %.2f)", viewers, median(alone), slices.Min(alone), slices.Max(alone))
	if m := median(alone); m > 3 {
		t.Errorf("%d viewers take %.1f %% of a core", viewers, m)
	}
	f := startFlood(t, headgate.address)
	time.Sleep(2 * time.Second)
	var came int64
	round := func(viewers int) (perSecond, perCPU float64) {
		leave := headgate.viewers(viewers)
		time.Sleep(settle)
		perSecond, perCPU = f.measure(headgate, measured)
		came += leave()
		return perSecond, perCPU
	}
	var without, with, rates, ratios []float64
	for i := range pairs {
		var rate, cpu [2]float64 // without, with
		for _, which := range [][2]int{{0, 1}, {1, 0}}[i%2] {
			rate[which], cpu[which] = round(which * viewers)
		}
		without, with = append(without, rate[0]), append(with, rate[1])
		rates, ratios = append(rates, rate[1]/rate[0]), append(ratios, cpu[1]/cpu[0])
	}
	got := came / (pairs * viewers) / (measured + settle).Milliseconds() // bytes a ms
	t.Logf("medians of %d pairs: %.0f messages a second without, %.0f with %d viewers, who get %d kB a second each", pairs, median(without), median(with), viewers, got)
	t.Logf("ratio of the rates %.3f (%.3f to %.3f), of messages for a second of CPU %.3f (%.3f to %.3f)",
		median(rates), slices.Min(rates), slices.Max(rates), median(ratios), slices.Min(ratios), slices.Max(ratios))
	if median(without) < 1000 || got < 1 {
		t.Fatal("hardly anything passes: nothing is measured")
	}
	// Where the machine has much else to do a median says little: the pairs have to say the same.
	kept := 0
	for _, r := range ratios {
		if r >= 0.97 {
			kept++
		}
	}
	if r := median(ratios); r < 0.97 && kept < pairs/3 {
		t.Errorf("%d viewers slow the broker by %.1f %%", viewers, 100*(1-r))
	}
}
