package main

import (
	"fmt"
	"sync"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

// offline is a set of QoS 1 publishers whose every acknowledgement is noted, for
// the scenarios that ask afterwards whether an acknowledged message is missing.
type offline struct {
	pubs []*publisher
	logs []*ackLog
	stop chan struct{}
	wg   sync.WaitGroup

	count int64 // of each publisher, with rate 0; 0: until halt
}

func newOffline(e *env, pubs, payload int, prefix string) (*offline, error) {
	o := &offline{stop: make(chan struct{})}
	for i := range pubs {
		c, err := e.dial(fmt.Sprintf("%s-pub-%d", prefix, i), true, 16<<10)
		if err != nil {
			o.end()
			return nil, err
		}
		l := &ackLog{}
		p := &publisher{c: c, id: uint32(i), qos: 1, win: 64, batch: e.o.batch, onAck: l.mark,
			tmpl: []*wire.Template{wire.NewTemplate(e.ver, 1, fmt.Sprintf("%s/%d", prefix, i), payload)}}
		p.start()
		o.pubs, o.logs = append(o.pubs, p), append(o.logs, l)
	}
	return o, nil
}

// publish starts all publishers; rate is each one's messages a second, 0: as fast as it goes.
func (o *offline) publish(rate int) {
	for _, p := range o.pubs {
		o.wg.Go(func() {
			if rate > 0 {
				p.paced(o.stop, rate)
			} else {
				p.run(o.stop, o.count)
			}
		})
	}
}

// halt stops the publishers and waits for the acknowledgements still due.
func (o *offline) halt() {
	close(o.stop)
	o.wg.Wait()
	for _, p := range o.pubs {
		p.waitAcks(5 * time.Second)
	}
}

// bye ends the connections properly, after halt.
func (o *offline) bye(e *env) {
	for _, p := range o.pubs {
		e.bye(p.c)
		<-p.gone
	}
}

// end ends everything, in whatever state it is.
func (o *offline) end() {
	select {
	case <-o.stop:
	default:
		close(o.stop)
	}
	for _, p := range o.pubs {
		p.close()
	}
	o.wg.Wait()
}

// sums counts what was sent and what of it was acknowledged with success.
func (o *offline) sums() (sent, acked int64) {
	for _, p := range o.pubs {
		sent += p.sent.Load()
		acked += p.acked.Load() - p.refuse.Load()
	}
	return sent, acked
}

// arrive waits until l holds all that was acknowledged, or nothing has come for
// quiet. It is false when messages were still coming at the limit of -drain:
// then what is missing is undrained, not lost.
func (o *offline) arrive(e *env, l *ledger, quiet time.Duration) bool {
	sent, acked := o.sums()
	if !settle(e.ctx, l.unique, acked, quiet, e.o.drain) {
		return false
	}
	if l.missing(ackedSets(o.logs)) == 0 {
		return true
	}
	// Messages that came without having been acknowledged filled the count.
	return settle(e.ctx, l.unique, sent, quiet, e.o.drain)
}

// account adds what came of it to m.
func (o *offline) account(m metrics, l *ledger, drained bool) {
	sent, acked := o.sums()
	total, unique, dup, ooo := l.counts()
	m["sent"], m["acked"], m["received"], m["unique"] = float64(sent), float64(acked), float64(total), float64(unique)
	m["dup"], m["ooo"] = float64(dup), float64(ooo)
	if missing := float64(l.missing(ackedSets(o.logs))); drained {
		m["lost"] = missing
	} else {
		m["lost"], m["undrained"] = 0, missing
	}
}
