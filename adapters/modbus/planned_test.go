package modbus

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestAPlanSaysWhatALinkIsBusyWith(t *testing.T) {
	var fast, slow []Point
	for i := range 10 {
		fast = append(fast, holding(fmt.Sprintf("p%d", i), 100+i))
	}
	for i := range 2 {
		slow = append(slow, holding(fmt.Sprintf("q%d", i), 10*i, func(p *Point) { p.Interval = 10 * time.Second }))
	}
	slow = append(slow, holding("r", 0))
	c := Config{Name: "rs485", URL: "rtu:///dev/nothing?baud=9600", Device: []Device{deviceOf("a", 1, fast...), deviceOf("b", 2, slow...)}}
	c.Device[0].Interval, c.Device[1].Interval = time.Second, 5*time.Second
	c.SetDefaults()
	p, err := NewPlan(c, func(unit uint8) time.Duration { return time.Duration(5*unit) * time.Millisecond })
	if err != nil {
		t.Fatal(err)
	}
	// 33 characters of 10 bits at 9600 baud, 3.5 of silence before them, and the 5 ms.
	if len(p.Reads) != 3 || p.Reads[0].Registers != "holding registers 100-109" || len(p.Reads[0].Points) != 10 || p.Reads[0].PerMinute != 60 {
		t.Fatalf("the plan is %+v", p)
	}
	if took := 1000 * p.Reads[0].Took.Seconds(); math.Abs(took-36.5*10/9.6-5) > 0.1 {
		t.Errorf("it takes %.2f ms", took)
	}
	// At every other time r is due, the slow ones are due as well, over a hole of 9.
	both, alone := p.Reads[1], p.Reads[2]
	if both.Registers != "holding registers 0-10" || both.Holes != 9 || both.PerMinute != 6 || alone.Registers != "holding register 0" || alone.PerMinute != 6 || alone.Unit != 2 {
		t.Errorf("got %+v and %+v", both, alone)
	}
	if took := 1000 * alone.Took.Seconds(); math.Abs(took-18.5*10/9.6-10) > 0.1 {
		t.Errorf("unit 2, which answers after 10 ms, takes %.2f ms", took)
	}
	if math.Abs(p.PerSecond-1.2) > 1e-9 || math.Abs(p.OneByOne-10.4) > 1e-9 {
		t.Errorf("%v requests a second in place of %v", p.PerSecond, p.OneByOne)
	}
	want := p.Reads[0].Took.Seconds() + (both.Took+alone.Took).Seconds()/10
	if math.Abs(p.Load-want) > 1e-9 {
		t.Errorf("the load is %v, want %v", p.Load, want)
	}
}

func TestAPlanOfMoreThanTheLinkCanDoSaysSo(t *testing.T) {
	d := deviceOf("a", 1, holding("x", 0), holding("y", 1000))
	c := Config{Name: "rs485", URL: "rtu:///dev/nothing?baud=1200", Device: []Device{d}}
	c.SetDefaults()
	p, err := NewPlan(c, func(uint8) time.Duration { return 0 })
	if err != nil || p.Load < 2 {
		t.Errorf("the load is %v, %v", p.Load, err)
	}
}
