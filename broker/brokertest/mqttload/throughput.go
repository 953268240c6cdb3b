package main

import (
	"fmt"
	"sync"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

// flowSpec is a throughput scenario: who publishes what to whom.
type flowSpec struct {
	pubs    int
	topics  func(i int) []string // topics of publisher i
	exp     func(topic string) int64
	subs    int
	filters func(i int) []string // filters of subscriber i
	qos     byte
	payload int   // bytes
	e2e     int64 // end-to-end window per publisher in deliveries; 0: none (blast)
	win     int64 // unacknowledged messages per publisher
	subBuf  int   // bytes a subscriber reads at once; 0: 256 KiB
	perPub  int64 // deliveries per message when exp is nil; 0: one
	ordered bool
	batch   int // bytes gathered before a write; 0: -batch
}

func fanin(qos byte, payload int, e2e int64) func(*env) (metrics, error) {
	return func(e *env) (metrics, error) {
		return runFlow(e, flowSpec{
			pubs: e.o.pubs, subs: 1, qos: qos, payload: payload, e2e: e2e, win: e.o.window, ordered: true,
			topics:  func(i int) []string { return []string{fmt.Sprintf("fan/in/%d", i)} },
			filters: always("fan/in/+"),
		})
	}
}

func fanout(subs int, qos byte, payload int) func(*env) (metrics, error) {
	return func(e *env) (metrics, error) {
		return runFlow(e, flowSpec{
			pubs: 1, subs: subs, qos: qos, payload: payload, e2e: int64(subs) * 512, win: e.o.window, ordered: true,
			topics: always("fan/out"), filters: always("fan/out"), perPub: int64(subs), subBuf: 32 << 10,
		})
	}
}

func pairs(n int, qos byte, payload int) func(*env) (metrics, error) {
	return func(e *env) (metrics, error) {
		own := func(i int) []string { return []string{fmt.Sprintf("pair/%d/data", i)} }
		return runFlow(e, flowSpec{
			pubs: n, subs: n, qos: qos, payload: payload, e2e: 512, win: e.o.window, ordered: true, subBuf: 64 << 10,
			topics: own, filters: own,
		})
	}
}

// sensors: many clients, each message its own write; at QoS 1 each waits for its
// PUBACK before the next.
func sensors(n int, qos byte) func(*env) (metrics, error) {
	return func(e *env) (metrics, error) {
		return runFlow(e, flowSpec{
			pubs: n, subs: 1, qos: qos, payload: 64, e2e: 32, win: 1, batch: 1, ordered: true,
			topics:  func(i int) []string { return []string{fmt.Sprintf("plant/line%d/sensor%d/temp", i%8, i)} },
			filters: always("plant/+/+/temp"),
		})
	}
}

// unmatched has publishers and no subscriber: the generator's own ceiling on the
// limit target, and the cost of an unmatched publish on a broker.
func unmatched(payload int) func(*env) (metrics, error) {
	return func(e *env) (metrics, error) {
		return runFlow(e, flowSpec{pubs: e.o.pubs, payload: payload,
			topics: func(i int) []string { return []string{fmt.Sprintf("sink/%d", i)} }})
	}
}

func always(t string) func(int) []string { return func(int) []string { return []string{t} } }

// clients are the connections of one throughput run.
type clients struct {
	pubs  []*publisher
	subs  []*subscriber
	flows []*flow
}

func runFlow(e *env, s flowSpec) (metrics, error) {
	if s.subBuf == 0 {
		s.subBuf = 256 << 10
	}
	if s.perPub == 0 {
		s.perPub = 1
	}
	if s.batch == 0 {
		s.batch = e.o.batch
	}
	k := &clients{pubs: make([]*publisher, s.pubs), subs: make([]*subscriber, s.subs), flows: make([]*flow, s.pubs)}
	defer k.close()
	if err := k.connect(e, s); err != nil {
		return nil, err
	}
	// Brokers with asynchronous subscription propagation settle.
	if err := e.wait(200 * time.Millisecond); err != nil {
		return nil, err
	}
	m, err := k.measure(e)
	if err != nil {
		return nil, err
	}
	k.account(e, m)
	return m, e.in.alive()
}

func (k *clients) connect(e *env, s flowSpec) error {
	if s.e2e > 0 {
		for i := range k.flows {
			k.flows[i] = newFlow(s.e2e)
		}
	}
	err := parallel(s.subs, 16, func(i int) error {
		c, err := e.dial(fmt.Sprintf("sub-%d", i), true, s.subBuf)
		if err != nil {
			return err
		}
		k.subs[i] = &subscriber{c: c, flows: k.flows, order: s.ordered}
		return c.Subscribe(s.filters(i), s.qos, nil)
	})
	if err != nil {
		return err
	}
	for _, x := range k.subs {
		x.start(s.pubs)
	}
	return parallel(s.pubs, 16, func(i int) error {
		c, err := e.dial(fmt.Sprintf("pub-%d", i), true, 16<<10)
		if err != nil {
			return err
		}
		p := &publisher{c: c, id: uint32(i), qos: s.qos, f: k.flows[i], win: s.win, batch: s.batch}
		for _, t := range s.topics(i) {
			n := s.perPub
			if s.exp != nil {
				n = s.exp(t)
			}
			p.tmpl = append(p.tmpl, wire.NewTemplate(e.ver, s.qos, t, s.payload))
			p.exp = append(p.exp, n)
		}
		k.pubs[i] = p
		p.start()
		return nil
	})
}

func (k *clients) close() {
	for _, p := range k.pubs {
		if p != nil {
			p.close()
		}
	}
	for _, x := range k.subs {
		if x != nil {
			x.close()
		}
	}
}

func (k *clients) received() (n int64) {
	for _, x := range k.subs {
		n += x.recv.Load()
	}
	return n
}

// progress counts what the rate is about: deliveries, or messages sent when nobody subscribes.
func (k *clients) progress() (n int64) {
	if len(k.subs) > 0 {
		return k.received()
	}
	for _, p := range k.pubs {
		n += p.sent.Load()
	}
	return n
}

// measure lets all publish, and reads the counters at both ends of the measured time.
func (k *clients) measure(e *env) (metrics, error) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, p := range k.pubs {
		wg.Go(func() { p.run(stop, 0) })
	}
	m, err := k.sample(e)
	close(stop)
	over := time.AfterFunc(3*time.Second, func() {
		for _, p := range k.pubs {
			_ = p.c.NC.SetWriteDeadline(time.Now())
		}
	})
	wg.Wait()
	over.Stop()
	return m, err
}

func (k *clients) sample(e *env) (metrics, error) {
	if err := e.wait(e.warm); err != nil {
		return nil, err
	}
	counts := func() map[string]float64 { return nil }
	if e.o.perf {
		var err error
		if counts, err = perfCount(e.ctx, e.in.cmd.Process.Pid, e.dur); err != nil {
			return nil, err
		}
		if err := e.wait(100 * time.Millisecond); err != nil { // perf attaches
			return nil, err
		}
	}
	t0, c0, g0, r0 := time.Now(), e.in.cpu(), selfCPU(), k.progress()
	if err := e.wait(e.dur); err != nil {
		return nil, err
	}
	took, cpu, gen := time.Since(t0).Seconds(), (e.in.cpu() - c0).Seconds(), (selfCPU() - g0).Seconds()
	n := float64(k.progress() - r0)
	m := metrics{"rate": n / took, "busy": cpu / took, "gen_busy": gen / took, "hwm_mib": e.in.mem("VmHWM") / 1024}
	if n > 0 {
		m["cpu_us"], m["gen_us"] = cpu*1e6/n, gen*1e6/n
	}
	for event, v := range counts() {
		// perf's window is e.dur long and begins a little earlier.
		switch perMessage := v / e.dur.Seconds() / m["rate"]; event {
		case "raw_syscalls:sys_enter":
			m["sys_msg"] = perMessage
		case "context-switches":
			m["csw_msg"] = perMessage
		}
	}
	return m, nil
}

// account waits for what is still on its way and adds the totals of the whole run to m.
func (k *clients) account(e *env, m metrics) {
	var want, sent, ooo, stalls, refused, broken int64
	for _, p := range k.pubs {
		want += p.expct.Load()
		sent += p.sent.Load()
		stalls += p.stalls.Load()
		refused += p.refuse.Load()
		if p.err.Load() != nil {
			broken++
		}
	}
	if len(k.subs) > 0 {
		settle(e.ctx, k.received, want, time.Second, 15*time.Second)
	}
	got := k.received()
	for _, x := range k.subs {
		ooo += x.ooo.Load() + x.bad.Load()
	}
	m["sent"], m["expected"], m["received"] = float64(sent), float64(want), float64(got)
	m["ooo"], m["stalls"], m["refused"] = float64(ooo), float64(stalls), float64(refused)
	if want > 0 && len(k.subs) > 0 {
		m["ratio_dlv"] = float64(got) / float64(want)
	}
	if broken > 0 {
		m["pub_errors"] = float64(broken)
	}
}
