package web

import (
	"path/filepath"
	"testing"
	"time"
)

// history_bytes is in force after a reload: less of it is less on disk at once, "off" ends
// it, and what was kept until then is there again when it is on.
func TestAnotherLimitOfTheHistoryIsInForceWithoutARestart(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	const bytes = 30 * blockBytes
	rows(t, openTestArchive(t, dir, bytes, oneDevice().Devices()), now.Unix()/60-60_000, 60_000)
	cfg := Config{Listen: "127.0.0.1:0", HistoryBytes: bytes, HistoryDir: dir}
	s := runServer(t, cfg)
	blocks := func() int {
		files, err := filepath.Glob(filepath.Join(dir, "*"+blockSuffix))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	day := func() int {
		d := oneDevice().devices[0]
		status, _, _ := ask(t, "GET", s.Address()+"/api/v1/history?of=day&device="+d.Name+"&point="+d.Points[0].Name, "")
		return status
	}
	until := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not %s: %d blocks, a day's plot is %d", what, blocks(), day())
			}
		}
	}
	before := blocks()
	if before < 8 || day() != 200 {
		t.Fatalf("there are %d blocks, and a day's plot is %d", before, day())
	}
	cfg.HistoryBytes = 4 * blockBytes
	s.changeTo(t, cfg)
	until("less", func() bool { return blocks() == 4 })
	cfg.HistoryBytes = -1
	s.changeTo(t, cfg)
	until("off", func() bool { return day() == 404 })
	cfg.HistoryBytes = bytes
	s.changeTo(t, cfg)
	until("on", func() bool { return day() == 200 })
	if blocks() != 4 {
		t.Errorf("there are %d blocks", blocks())
	}
	s.days.rows <- minute{now.Unix() / 60, pointNames(oneDevice().Devices()), make([]span, 2)}
	until("written on", func() bool { return blocks() == 5 })
}
