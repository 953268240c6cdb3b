package web

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var archiveDevices = []Device{{Name: "meter", Points: []Point{{Name: "voltage"}, {Name: "power"}}}}

func openTestArchive(t *testing.T, dir string, limit int64, devices []Device) *archive {
	t.Helper()
	a, err := openArchive(dir, limit, devices)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a
}

// rows writes a row for each of n minutes from minute on: voltage counts them.
func rows(t *testing.T, a *archive, minute, n int64) {
	t.Helper()
	for m := minute; m < minute+n; m++ {
		row := make([]span, a.count)
		for i := range row {
			row[i] = span{float32(m % 1000), float32(m%1000) + float32(i)}
		}
		if err := a.add(m, a.names, row); err != nil {
			t.Fatal(err)
		}
	}
}

func plotOf(t *testing.T, a *archive, name string, minute int64) Plot {
	t.Helper()
	p, err := a.plot("meter", name, time.Unix(minute*60, 0))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheArchiveGivesADayAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	rows(t, openTestArchive(t, dir, 1e6, archiveDevices), 1_000_000, 3000)
	a := openTestArchive(t, dir, 1e6, archiveDevices)
	rows(t, a, 1_003_000, 10)
	p := plotOf(t, a, "power", 1_003_009)
	if len(p.Times) != 1440 || p.Times[1439] != 1_003_009*60 || *p.Low[1439] != 9 || *p.High[1439] != 10 || p.Slot != 60 {
		t.Fatalf("got %d minutes up to %d", len(p.Times), p.Times[len(p.Times)-1])
	}
	if *p.Low[0] != float64((1_003_009-1439)%1000) {
		t.Errorf("the oldest is %v", *p.Low[0])
	}
}

func TestTheArchiveHasALimitInBytes(t *testing.T) {
	dir := t.TempDir()
	const limit = 4 * blockBytes
	rows(t, openTestArchive(t, dir, limit, archiveDevices), 1_000_000, 20_000)
	files, err := filepath.Glob(filepath.Join(dir, "*"+blockSuffix))
	if err != nil || len(files) != 4 {
		t.Fatalf("got %d blocks, %v", len(files), err)
	}
	for _, name := range files {
		if fi, err := os.Stat(name); err != nil || fi.Size() > blockBytes {
			t.Errorf("%s: %v, %d bytes", name, err, fi.Size())
		}
	}
}

func TestAChangedListOfPointsKeepsTheDayOfTheOldOnes(t *testing.T) {
	dir := t.TempDir()
	rows(t, openTestArchive(t, dir, 1e6, archiveDevices), 1_000_000, 5)
	more := []Device{{Name: "pump", Points: []Point{{Name: "speed"}}}, archiveDevices[0]}
	a := openTestArchive(t, dir, 1e6, more)
	rows(t, a, 1_000_005, 5)
	if p := plotOf(t, a, "voltage", 1_000_009); len(p.Times) != 10 || *p.Low[0] != 0 || *p.Low[9] != 9 {
		t.Errorf("got %d minutes", len(p.Times))
	}
	if p := plotOf(t, a, "nothing", 1_000_009); len(p.Times) != 0 {
		t.Errorf("of a point that there never was, got %d minutes", len(p.Times))
	}
}

func TestADamagedRowOfTheArchiveIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	a := openTestArchive(t, dir, 1e6, archiveDevices)
	rows(t, a, 1_000_000, 5)
	name := a.blockFile(a.number)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text[archiveHead+3*a.rowBytes()+6] ^= 1
	if err := os.WriteFile(name, text[:len(text)-3], 0o640); err != nil {
		t.Fatal(err)
	}
	p := plotOf(t, a, "voltage", 1_000_004)
	got := 0
	for _, low := range p.Low {
		if low != nil {
			got++
		}
	}
	if got != 3 {
		t.Errorf("got %d minutes, want the 3 before the damage", got)
	}
	for _, damaged := range [][]byte{nil, text[:5], append([]byte(archiveMagic), 1, 0, 255, 255, 255, 255, 0, 0, 0, 0), []byte("no block at all, but something else")} {
		if err := os.WriteFile(name, damaged, 0o640); err != nil {
			t.Fatal(err)
		}
		if p := plotOf(t, a, "voltage", 1_000_004); len(p.Times) != 0 {
			t.Errorf("%q: got %d minutes", damaged, len(p.Times))
		}
	}
}

func TestARestartWithoutAClockDoesNotHideTheDayBefore(t *testing.T) {
	dir := t.TempDir()
	const noon = 29_900_000 // in 2026
	rows(t, openTestArchive(t, dir, 1e6, archiveDevices), noon-300, 300)
	rows(t, openTestArchive(t, dir, 1e6, archiveDevices), 3, 2) // no time server was there
	a := openTestArchive(t, dir, 1e6, archiveDevices)
	rows(t, a, 3, 2)
	rows(t, a, noon+5, 5) // now it is
	p := plotOf(t, a, "voltage", noon+9)
	if len(p.Times) != 310 || p.Times[0] != (noon-300)*60 {
		t.Fatalf("got %d minutes, want 310", len(p.Times))
	}
}

func FuzzArchiveBlock(f *testing.F) {
	a, err := openArchive(f.TempDir(), 1e6, archiveDevices)
	if err != nil {
		f.Fatal(err)
	}
	defer a.close()
	if err := a.add(1000, a.names, make([]span, a.count)); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(a.blockFile(a.number))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, n := range []byte{1, 0, 255} { // of points
		b := slices.Clone(text)
		copy(b[archiveHead-8:], []byte{n, n, n, n})
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		minutes := map[int64]span{}
		a.read(text, map[uint32]int{}, "meter/voltage", minutes)
		if len(minutes) > len(text) {
			t.Errorf("%d minutes of %d bytes", len(minutes), len(text))
		}
	})
}

func TestADiskThatIsFullLosesRowsAndNothingElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	a := openTestArchive(t, dir, 1e6, archiveDevices)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	row := []span{{1, 2}, nothing()}
	if err := a.add(1, a.names, row); err == nil {
		t.Fatal("written to nowhere")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := a.add(1_000_000, a.names, row); err != nil {
		t.Fatal(err)
	}
	if p := plotOf(t, a, "voltage", 1_000_000); len(p.Times) != 1 {
		t.Errorf("got %d minutes", len(p.Times))
	}
}

func TestTheRowOfAMinuteHasItsPeaks(t *testing.T) {
	f := oneDevice()
	h := newHistory(f.devices)
	start := time.Unix(1_000_000, 0)
	for i, v := range []float64{5, 9, 7} {
		f.set(0, v, start.Add(time.Duration(i)*time.Second))
		h.add(f.devices)
	}
	if row := h.minuteRow(f.devices); len(row) != 2 || row[0] != (span{5, 9}) || !math.IsNaN(float64(row[1].low)) {
		t.Errorf("got %v", row)
	}
	// One that is read more seldom than once a minute is what it was.
	if row := h.minuteRow(f.devices); row[0] != (span{7, 7}) {
		t.Errorf("got %v", row)
	}
}

func TestTheLimitOfTheHistoryIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]HistoryLimit{"32MB": 32e6, "1GB": 1e9, "1500 kB": 1.5e6, "off": -1} {
		var l HistoryLimit
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want {
			t.Errorf("%s: got %d, %v", text, l, err)
		}
	}
	for _, text := range []string{"", "0", "5", "1kB", "MB", "-1MB", "5 TB", "32 apples"} {
		var l HistoryLimit
		if err := l.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %d", text, l)
		}
	}
}

func TestPointsThatAReloadBringsHaveADayAndOthersKeepTheirs(t *testing.T) {
	a := openTestArchive(t, t.TempDir(), 1e6, archiveDevices)
	rows(t, a, 1_000_000, 5)
	names := "meter/power\nmeter/current\nmeter/voltage\n"
	for m := range int64(5) {
		if err := a.add(1_000_005+m, names, []span{{1, 1}, {2, 2}, {3, 3}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]float64{"power": 1, "current": 2, "voltage": 3} {
		p := plotOf(t, a, name, 1_000_009)
		if n := len(p.Times); n == 0 || *p.Low[n-1] != want || *p.High[n-1] != want {
			t.Errorf("%s: got %d minutes, %v", name, n, p.Low)
		}
	}
	if p := plotOf(t, a, "voltage", 1_000_009); len(p.Times) != 10 || *p.Low[0] != 0 || *p.Low[4] != 4 {
		t.Errorf("voltage before: got %d minutes", len(p.Times))
	}
	if p := plotOf(t, a, "current", 1_000_009); len(p.Times) != 5 {
		t.Errorf("current: got %d minutes", len(p.Times))
	}
}
