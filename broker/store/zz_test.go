package store

import (
	"fmt"
	"testing"
)

func TestZZ(t *testing.T) {
	dir := "/tmp/door_case2"
	run(t, "rm", "-rf", dir)
	run(t, "cp", "-r", "--sparse=always", "/tmp/door_case", dir)
	st, err := openState(stateDir(dir), quiet())
	if err != nil {
		t.Fatal(err)
	}
	c, err := st.load()
	fmt.Println("applied", c.applied, err)
	for _, q := range c.queues {
		fmt.Println(q.id, q.name, q.next, q.head, len(q.acked), len(q.received))
	}
	st.close()
	log, text := listen()
	s, err := Open(dir, small(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fmt.Println("next", s.next, text)
	for _, g := range s.spool.list() {
		if err := s.spool.acquire(g); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(g.dir, "first", g.first, "keys", len(g.keys), g.keys[max(0, len(g.keys)-6):], "moved", g.moved)
		for i := max(0, len(g.keys)-6); i < len(g.keys); i++ {
			g.view(i, func(v *segmentView) error {
				fmt.Println("  seg", v.first, v.count, v.last(), len(v.whole), "place", v.whole[5])
				b := v.body
				for n := range v.count {
					rec, rest, err := cutRecord(b)
					if err != nil {
						fmt.Println(err)
						break
					}
					b = rest
					if n > v.count-4 || n < 2 {
						fmt.Printf("    %d kind %d %.40x\n", v.first+uint64(n), rec[0], rec)
					}
				}
				return nil
			})
		}
		s.spool.release(g)
	}
}
