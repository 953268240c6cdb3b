package derived

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"headgate/adapters/datatype"
	"headgate/gateway/expression"
	"headgate/gateway/point"
)

// model is what all [[derived]] tables say, ready to be computed.
type model struct {
	inputs   []expression.Input // by slot
	slots    map[pointName]int
	topics   []topicInput
	formulas []*formula // each behind those that it needs
	users    [][]int    // by slot: the places in formulas of those that need it
}

// pointName is a point of a device; of an input, the name of the [[derived]] table
// with a "/" behind it, which no device has.
type pointName struct{ device, point string }

// topicInput is an input from a topic.
type topicInput struct {
	topic      string
	slot       int
	staleAfter time.Duration
	heard      time.Time
}

// formula is one point that is computed.
type formula struct {
	name   pointName
	info   point.Info
	slot   int   // of what comes of it
	slots  []int // of what it needs, each once
	expr   *expression.Program
	alarm  *alarm // nil: it is none
	key    string // of expr, for faults
	table  int
	ticks  bool // it changes while nothing comes
	said   bool
	last   point.Sample
	missed bool // it has been said that an input says nothing
}

// faults takes what is wrong with a key of the table of that index.
type faults func(table int, key, format string, args ...any)

// Check reports what is wrong with the expressions of the tables: it needs the
// devices of all other adapters. An error among the args has the byte in the text at
// which it is, by a method Offset.
func Check(tables []Config, devices []point.Device, fault func(table int, key, format string, args ...any)) {
	compile(tables, devices, fault)
}

// compiler makes a model.
type compiler struct {
	*model
	tables []Config
	points map[string][]string // of each device
	types  map[pointName]expression.Type
	fault  faults
}

func compile(tables []Config, devices []point.Device, fault faults) *model {
	c := &compiler{model: &model{slots: map[pointName]int{}}, tables: tables, points: map[string][]string{}, types: typesOf(devices), fault: fault}
	for _, d := range devices {
		for _, p := range d.Points {
			if !p.Raw {
				c.points[d.Name] = append(c.points[d.Name], p.Name)
			}
		}
	}
	for i := range tables {
		t := &tables[i]
		for _, p := range t.Points {
			c.points[t.Name] = append(c.points[t.Name], p.Name)
		}
		for _, a := range t.Alarms {
			c.points[t.Name] = append(c.points[t.Name], a.Name)
			c.types[pointName{t.Name, a.Name}] = expression.Bool
		}
		for j, in := range t.Inputs {
			if _, taken := c.points[in.Name]; taken {
				fault(i, fmt.Sprintf("input[%d].name", j), "%q is the name of a device", in.Name)
			}
			slot := c.slot(pointName{t.Name + "/", in.Name}, in.Name)
			c.topics = append(c.topics, topicInput{topic: in.Topic, slot: slot, staleAfter: in.StaleAfter})
		}
	}
	for i := range tables {
		c.table(i)
	}
	c.order()
	return c.model
}

func (c *compiler) table(i int) {
	t := &c.tables[i]
	for j, p := range t.Points {
		key := fmt.Sprintf("point[%d].expr", j)
		if prog := c.program(i, key, p.Expr); prog != nil {
			c.add(&formula{
				name: pointName{t.Name, p.Name}, expr: prog, table: i, key: key,
				info: point.Info{Name: p.Name, Unit: p.Unit, Report: p.Report, Source: p.Expr, Kind: prog.Type().Kind()},
			})
		}
	}
	for j, a := range t.Alarms {
		key := fmt.Sprintf("alarm[%d].when", j)
		when := c.condition(i, key, a.When)
		var clear *expression.Program
		if a.Clear != "" {
			if clear = c.condition(i, fmt.Sprintf("alarm[%d].clear", j), a.Clear); clear == nil {
				continue
			}
		}
		if when != nil {
			c.add(&formula{
				name: pointName{t.Name, a.Name}, expr: when, table: i, key: key,
				alarm: &alarm{clear: clear, delay: a.Delay},
				info:  point.Info{Name: a.Name, Alarm: true, Message: a.Message, Source: a.When, Kind: point.Bool},
			})
		}
	}
}

func (c *compiler) add(f *formula) {
	f.slot = c.slot(f.name, f.name.device+"."+f.name.point)
	f.ticks = f.expr.Waits() || f.alarm != nil && f.alarm.clear != nil && f.alarm.clear.Waits()
	f.slots = f.expr.Slots()
	if f.alarm != nil && f.alarm.clear != nil {
		f.slots = union(f.slots, f.alarm.clear.Slots())
	}
	c.formulas = append(c.formulas, f)
}

func union(a, b []int) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// slot gives the place of an input.
func (c *compiler) slot(name pointName, as string) int {
	slot, ok := c.slots[name]
	if !ok {
		slot = len(c.inputs)
		c.slots[name] = slot
		c.inputs = append(c.inputs, expression.Input{Name: as, Quality: point.Bad, Reason: "nothing has come yet"})
	}
	return slot
}

// program compiles one expression; nil: it is at fault.
func (c *compiler) program(table int, key, text string) *expression.Program {
	if text == "" {
		return nil // Config.Check says so
	}
	prog, err := expression.Compile(text, expression.Names{
		Lookup:     func(path []string) (int, int, error) { return c.lookup(table, path) },
		TypeOf:     c.typeOf,
		DidYouMean: datatype.DidYouMean,
	})
	if err == nil && len(prog.Slots()) == 0 {
		err = &expression.Error{Text: "needs no point and no input, so that it would never be computed"}
	}
	if err != nil {
		c.fault(table, key, "%v", err)
		return nil
	}
	return prog
}

func (c *compiler) typeOf(slot int) expression.Type {
	for name, s := range c.slots {
		if s == slot {
			return c.types[name]
		}
	}
	return expression.Any
}

// condition is program for what must be true or false.
func (c *compiler) condition(table int, key, text string) *expression.Program {
	prog := c.program(table, key, text)
	if prog != nil && prog.Type() != expression.Bool && prog.Type() != expression.Any {
		c.fault(table, key, "%v", &expression.Error{Text: fmt.Sprintf("is %v; want what is true or false, like \"boiler.temp > 90\"", prog.Type())})
		return nil
	}
	return prog
}

// lookup says what a name in an expression of a table means: an input of the table,
// a point of a device, or another point of the table.
func (c *compiler) lookup(table int, path []string) (slot, used int, err error) {
	t := &c.tables[table]
	if slices.ContainsFunc(t.Inputs, func(in Input) bool { return in.Name == path[0] }) {
		return c.slot(pointName{t.Name + "/", path[0]}, path[0]), 1, nil
	}
	if points, ok := c.points[path[0]]; ok && len(path) > 1 {
		if !slices.Contains(points, path[1]) {
			return 0, 0, fmt.Errorf("device %q has no point %q%s", path[0], path[1], hint(path[1], points))
		}
		return c.slot(pointName{path[0], path[1]}, path[0]+"."+path[1]), 2, nil
	}
	if slices.Contains(c.points[t.Name], path[0]) {
		return c.slot(pointName{t.Name, path[0]}, t.Name+"."+path[0]), 1, nil
	}
	if points, ok := c.points[path[0]]; ok {
		return 0, 0, fmt.Errorf("%q is a device: want one of its points, like %s.%s", path[0], path[0], points[0])
	}
	known := slices.Sorted(maps.Keys(c.points))
	for _, name := range known {
		if strings.HasPrefix(name, path[0]+"-") || strings.HasPrefix(name, path[0]+" ") {
			return 0, 0, fmt.Errorf("there is no device %q; %q is written value(%q, \"POINT\")", path[0], name, name)
		}
	}
	for _, in := range t.Inputs {
		known = append(known, in.Name)
	}
	if len(path) == 1 {
		return 0, 0, fmt.Errorf("there is no input and no point %q in this table%s", path[0], hint(path[0], append(known, c.points[t.Name]...)))
	}
	return 0, 0, fmt.Errorf("there is no device %q%s", path[0], hint(path[0], known))
}

func hint(name string, known []string) string {
	if near := datatype.DidYouMean(name, known); near != "" {
		return near
	}
	if len(known) > 12 {
		known = known[:12]
	}
	return "; there are " + strings.Join(known, ", ")
}

// order puts each formula behind those that it needs, and reports those that need
// themselves.
func (c *compiler) order() {
	bySlot := map[int]*formula{}
	for _, f := range c.formulas {
		bySlot[f.slot] = f
	}
	const visiting, done = 1, 2
	state := map[*formula]int{}
	var sorted []*formula
	var trail []string
	var visit func(f *formula) bool
	visit = func(f *formula) bool {
		if state[f] == done {
			return true
		}
		name := f.name.device + "." + f.name.point
		trail = append(trail, name)
		defer func() { trail = trail[:len(trail)-1] }()
		if state[f] == visiting {
			c.fault(f.table, f.key, "needs itself: %s", strings.Join(trail[slices.Index(trail, name):], " needs "))
			return false
		}
		state[f] = visiting
		for _, slot := range f.slots {
			if other := bySlot[slot]; other != nil && !visit(other) {
				state[f] = done
				return false
			}
		}
		state[f] = done
		sorted = append(sorted, f)
		return true
	}
	for _, f := range c.formulas {
		visit(f)
	}
	c.formulas = sorted
	c.users = make([][]int, len(c.inputs))
	for i, f := range sorted {
		for _, slot := range f.slots {
			c.users[slot] = append(c.users[slot], i)
		}
	}
}
