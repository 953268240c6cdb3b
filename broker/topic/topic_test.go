package topic

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestFiltersMatchAsTheSpecificationSays(t *testing.T) {
	for _, c := range []struct {
		filter, name string
		want         bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"#", "a/b", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"#", "$SYS/broker", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/broker", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"a/+/c", "a//c", true},
		{"a/b", "a/b/", false},
		{"ACCOUNTS", "Accounts", false},
		{"+/#", "a", true},
	} {
		if got := Match(c.filter, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v, want %v", c.filter, c.name, got, c.want)
		}
	}
}

func TestFaultyNamesAndFiltersAreRefused(t *testing.T) {
	for _, s := range []string{"", "a/+", "#", "a\x00b", "\xff", strings.Repeat("a", 65536)} {
		if CheckName(s) == nil {
			t.Errorf("name %.20q passed", s)
		}
	}
	for _, s := range []string{"", "a/#/b", "a#", "a+/b", "#/", "a\x00", "$share/g", "$share//a", "$share/g+/a", "$share/g/a#", strings.Repeat("a", 65536)} {
		if CheckFilter(s) == nil {
			t.Errorf("filter %.20q passed", s)
		}
	}
	for _, s := range []string{"/", "a//b", "+", "#", "+/+/#", "$share/g/+/#", "ä/ö", "$SYS/#", " "} {
		if err := CheckFilter(s); err != nil {
			t.Errorf("filter %q: %v", s, err)
		}
	}
}

func randomLevels(r *rand.Rand, words []string) string {
	n := 1 + r.IntN(4)
	levels := make([]string, n)
	for i := range levels {
		levels[i] = words[r.IntN(len(words))]
	}
	return strings.Join(levels, "/")
}

func TestIndexAndTreeFindWhatMatchFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x, tree := NewIndex[int, string](), NewTree[int]()
	filters := map[int]string{}
	names := map[string]bool{}
	for i := range 3000 {
		f := randomLevels(r, []string{"a", "b", "", "+", "$c", "#"})
		if CheckFilter(f) != nil {
			continue
		}
		filters[i] = f
		x.Set(f, i, f)
	}
	for i := range 500 {
		n := randomLevels(r, []string{"a", "b", "", "$c", "d"})
		if CheckName(n) != nil {
			continue
		}
		names[n] = true
		tree.Set(n, i)
	}
	for i, f := range filters { // half of them go again
		if i%2 == 0 {
			if !x.Delete(f, i) {
				t.Fatalf("filter %q was not there", f)
			}
			delete(filters, i)
		}
	}
	if x.Len() != len(filters) || tree.Len() != len(names) {
		t.Fatalf("lengths %d and %d, want %d and %d", x.Len(), tree.Len(), len(filters), len(names))
	}
	for n := range names {
		var got, want []int
		x.Match(n, func(k int, f string) { got = append(got, k) })
		for k, f := range filters {
			if Match(f, n) {
				want = append(want, k)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("index for %q gives %v, want %v", n, got, want)
		}
	}
	for _, f := range filters {
		var got, want []string
		tree.Match(f, func(n string, _ int) { got = append(got, n) })
		for n := range names {
			if Match(f, n) {
				want = append(want, n)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("tree for %q gives %v, want %v", f, got, want)
		}
	}
}

func TestEmptyLevelsAreLetGo(t *testing.T) {
	x, tree := NewIndex[int, int](), NewTree[int]()
	for _, f := range []string{"a/b/c", "a/+/c", "a/#", "+/+", "#"} {
		x.Set(f, 1, 1)
		x.Set(f, 2, 1)
	}
	for _, f := range []string{"a/b/c", "a/+/c", "a/#", "+/+", "#"} {
		x.Delete(f, 1)
		x.Delete(f, 2)
		if x.Delete(f, 2) {
			t.Errorf("%q was there twice", f)
		}
	}
	if !x.root.empty() {
		t.Error("the index keeps nodes that nobody needs")
	}
	tree.Set("a/b/c", 1)
	tree.Set("a/b", 1)
	tree.Delete("a/b/c")
	tree.Delete("a/b")
	if len(tree.root.children) != 0 || tree.Len() != 0 {
		t.Error("the tree keeps branches that nobody needs")
	}
}

func TestOneSubscriberTakesThePlaceOfAnother(t *testing.T) {
	x := NewIndex[int, string]()
	x.Set("a/+", 1, "one")
	x.Replace("a/+", 1, 2, "two")
	x.Replace("a/+", 2, 2, "two again")
	var got []string
	x.Match("a/b", func(k int, v string) { got = append(got, fmt.Sprint(k, v)) })
	if len(got) != 1 || got[0] != "2two again" || x.Len() != 1 {
		t.Errorf("got %v of %d", got, x.Len())
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	x := NewIndex[int, int]()
	for _, f := range []string{"a/b/c", "a/+/c", "a/#", "+/b/+", "#"} {
		x.Set(f, 1, 1)
	}
	n := 0
	count := func(int, int) { n++ }
	if a := testing.AllocsPerRun(100, func() { x.Match("a/b/c", count) }); a != 0 {
		t.Errorf("%v allocations a match", a)
	}
	if n == 0 {
		t.Error("nothing matched")
	}
}

func TestTheVersionChangesWithEverySubscription(t *testing.T) {
	x := NewIndex[int, int]()
	v := x.Version()
	x.Set("a", 1, 1)
	if x.Version() == v {
		t.Error("Set left the version")
	}
	v = x.Version()
	x.Delete("a", 1)
	if x.Version() == v {
		t.Error("Delete left the version")
	}
}

func TestManyMayUseTheIndexAtATime(t *testing.T) {
	x := NewIndex[int, int]()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				f := fmt.Sprintf("a/%d/+", i%10)
				x.Set(f, g, i)
				x.Match("a/3/x", func(int, int) {})
				x.Delete(f, g)
			}
		})
	}
	wg.Wait()
	if x.Len() != 0 {
		t.Errorf("%d subscriptions are left", x.Len())
	}
}

func FuzzMatchAgreesWithTheIndex(f *testing.F) {
	f.Add("a/+/#", "a/b")
	f.Add("$SYS/#", "$SYS")
	f.Fuzz(func(t *testing.T, filter, name string) {
		if CheckFilter(filter) != nil || CheckName(name) != nil || strings.HasPrefix(filter, "$share/") {
			return
		}
		x, tree := NewIndex[int, int](), NewTree[int]()
		x.Set(filter, 1, 1)
		tree.Set(name, 1)
		inIndex, inTree := false, false
		x.Match(name, func(int, int) { inIndex = true })
		tree.Match(filter, func(string, int) { inTree = true })
		if want := Match(filter, name); inIndex != want || inTree != want {
			t.Errorf("filter %q, name %q: Match says %v, Index %v, Tree %v", filter, name, want, inIndex, inTree)
		}
	})
}

func BenchmarkTenThousandWildcardFilters(b *testing.B) {
	x := NewIndex[int, int]()
	for i := range 10_000 {
		x.Set(fmt.Sprintf("site/+/dev%d/#", i), i, i)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		x.Match("site/7/dev4711/temp", func(int, int) { n++ })
	}
}

func TestAMatchFindsOneOfTwoThatReplaceEachOther(t *testing.T) {
	x := NewIndex[int, int]()
	x.Set("a/+", 0, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 10_000 {
			x.Replace("a/+", i, i+1, 0)
		}
	}()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		found := 0
		if !x.Match("a/b", func(int, int) { found++ }) {
			continue
		}
		if found != 1 {
			t.Fatalf("found %d, want one", found)
		}
	}
	if n := x.Len(); n != 1 {
		t.Errorf("%d subscriptions are left, want one", n)
	}
}

func TestATableIsAsAMapIs(t *testing.T) {
	var x table[int, int]
	want := make(map[int]int)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		k, v := rng.IntN(300), rng.Int()
		_, had := want[k]
		if rng.IntN(3) > 0 {
			if isNew := x.set(k, v); isNew == had {
				t.Fatalf("set %d: new %v, but it was there: %v", k, isNew, had)
			}
			want[k] = v
		} else {
			if removed := x.remove(k); removed != had {
				t.Fatalf("remove %d: %v, but it was there: %v", k, removed, had)
			}
			delete(want, k)
		}
		if x.len() != len(want) {
			t.Fatalf("%d entries, want %d", x.len(), len(want))
		}
	}
	got := make(map[int]int)
	x.each(func(k, v int) {
		if _, twice := got[k]; twice {
			t.Errorf("%d came twice", k)
		}
		got[k] = v
	})
	if !maps.Equal(got, want) {
		t.Errorf("it has %d entries, want %d", len(got), len(want))
	}
}

func TestReadersOfATableFindWhatStaysWhileTheRestComesAndGoes(t *testing.T) {
	var x table[int, int]
	const stay = 5
	for k := range stay {
		x.set(k, k)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 { // through few and many, and as many chains as both want
			for k := stay; k < 1000; k++ {
				x.set(k, k)
			}
			for k := range stay {
				x.set(k, k)
			}
			for k := stay; k < 1000; k++ {
				x.remove(k)
			}
		}
	}()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		var seen [1000]int
		x.each(func(k, v int) {
			if seen[k]++; k != v || seen[k] > 1 {
				t.Errorf("%d came as %d, for the %d. time", k, v, seen[k])
			}
		})
		for k := range stay {
			if v, ok := x.get(k); !ok || v != k || seen[k] != 1 {
				t.Fatalf("%d is %d, %v, and came %d times", k, v, ok, seen[k])
			}
		}
	}
	if n := x.len(); n != stay {
		t.Errorf("%d entries are left, want %d", n, stay)
	}
}

func BenchmarkSubscribingTenThousandToOneFilter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		x := NewIndex[int, int]()
		for i := range 10_000 {
			x.Set("site/+/temp", i, i)
		}
	}
}
