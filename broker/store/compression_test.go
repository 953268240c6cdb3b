package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is what the gateway publishes of a point, as the broker has it in a record.
func sample(i int) string {
	return fmt.Sprintf("\x02\x01\x1aboiler-house/meter%d/voltage\x00"+`{"value":%.1f,"unit":"V","time":"2026-11-28T13:%02d:%02d.%03dZ","quality":"good"}`,
		i%8, 228+float64(i*7919%60)/10, i/60%60, i%60, i*37%1000)
}

func zstdConfig() Config {
	cfg := small()
	cfg.Compression = Zstd
	return cfg
}

// samples commits some at once.
func samples(t testing.TB, s *Store, q *Queue, first, n int) {
	t.Helper()
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = message(sample(first+i), q)
	}
	commit(t, s, recs...)
}

func wantSamples(t testing.TB, r *Reader, first, end int) {
	t.Helper()
	for i := first; i < end; i++ {
		if it := next(t, r); string(it.Data) != sample(i) {
			t.Fatalf("message %d is %q", i, it.Data)
		}
	}
}

func TestWhatIsCompressedIsReadFromTheRingAndFromDisk(t *testing.T) {
	for name, restart := range restarts {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, zstdConfig())
			q := queue(t, s, "client")
			r := q.Reader(nil)
			bytes := 0
			for first := 0; first < 20_000; first += 500 {
				samples(t, s, q, first, 500)
				wantSamples(t, r, first, first+500) // from the ring
				bytes += 500 * len(sample(first))
			}
			noise := make([]byte, 100_000)
			for i := range noise {
				noise[i] = byte(rand.Uint32())
			}
			commit(t, s, message(string(noise), q)) // which is not shorter
			commit(t, s, message(strings.Repeat("long", 200_000), q))
			commit(t, s, Record{Kind: Put, Key: "k", Data: []byte("v")})
			if st := s.Stats(); st.Bytes > int64(bytes)/3+200_000 {
				t.Errorf("%d bytes of samples are %d on disk", bytes, st.Bytes)
			}
			for range 100 {
				q.Ack(next(t, q.Reader(nil)).Number)
			}
			s, _ = restart(t, s, dir)
			q = queue(t, s, "client")
			if st := q.Stats(); st.Messages < 19_902 {
				t.Errorf("%d messages wait", st.Messages)
			}
			r = q.Reader(nil)
			it := next(t, r)
			if it.Ordinal > 100 {
				t.Errorf("the first one is %d", it.Ordinal)
			}
			wantSamples(t, r, int(it.Ordinal)+1, 20_000)
			if it := next(t, r); string(it.Data) != string(noise) {
				t.Error("what cannot be compressed is not as it was")
			}
			if it := next(t, r); string(it.Data) != strings.Repeat("long", 200_000) {
				t.Error("a large message is not as it was")
			}
			nothing(t, r)
			if s.Stats().DamagedSegments != 0 {
				t.Error("something is damaged")
			}
		})
	}
}

func TestCompressionMayBeTurnedOnAndOff(t *testing.T) {
	dir := t.TempDir()
	format := func() string {
		b, err := os.ReadFile(filepath.Join(dir, formatFile))
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		return line
	}
	for i, step := range []struct {
		cfg    Config
		format string
	}{
		{small(), formatText + "2"}, // older releases read it
		{zstdConfig(), formatText + "3"},
		{small(), formatText + "3"}, // something is still compressed
	} {
		s := open(t, dir, step.cfg)
		q := queue(t, s, "client")
		samples(t, s, q, i*1000, 1000)
		if got := format(); got != step.format {
			t.Errorf("step %d: FORMAT says %q, want %q", i, got, step.format)
		}
		wantSamples(t, q.Reader(nil), 0, (i+1)*1000)
		closeStore(t, s)
	}
}

// packed makes a segment of one message whose packed records are changed, all
// checksums right.
func packed(t *testing.T, z *compressor, change func(body []byte) []byte) segmentView {
	t.Helper()
	q := &Queue{id: 1}
	g := newSegment(make([]byte, 4096), 1)
	g.buf = appendMessage(g.buf, []target{{q, nil}}, bytes.Repeat([]byte("text"), 200))
	g.count = 1
	g.queues = []segmentQueue{{q, queueEntry{queue: 1, count: 1, bytes: 800}}}
	v, err := parseSegment(g.finish(z))
	if err != nil || !v.packed {
		t.Fatal("it is not packed", err)
	}
	v.body = change(bytes.Clone(v.body))
	v.bodyCRC = crc32.Checksum(v.body, crcTable)
	return v
}

func TestPackedRecordsThatLieAboutTheirLengthAreDamaged(t *testing.T) {
	z, err := newCompressor(Zstd)
	if err != nil {
		t.Fatal(err)
	}
	say := func(n uint32) func(b []byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint32(b, n); return b }
	}
	bomb := z.enc.EncodeAll(make([]byte, 64<<20), make([]byte, lengthSize))
	for name, change := range map[string]func([]byte) []byte{
		"":               func(b []byte) []byte { return b },
		"no length":      func([]byte) []byte { return []byte{0, 0, 1} },
		"shorter":        say(700),
		"longer":         say(900),
		"4 GB":           say(1<<32 - 1),
		"no frame":       func(b []byte) []byte { return b[:lengthSize] },
		"half a frame":   func(b []byte) []byte { return b[:len(b)/2] },
		"two frames":     func(b []byte) []byte { return append(b, b[lengthSize:]...) },
		"a bomb":         func([]byte) []byte { return say(maxInflated)(bytes.Clone(bomb)) },
		"a small bomb":   func([]byte) []byte { return say(1000)(bytes.Clone(bomb)) },
		"no bomb at all": func([]byte) []byte { return say(0)(bytes.Clone(bomb)) },
	} {
		v := packed(t, z, change)
		allocated := testing.AllocsPerRun(1, func() { _, err = v.records(z) })
		if name == "" {
			if items, err := v.items(z, v.queueAt(0), 0, nil); err != nil || len(items) != 1 || len(items[0].Data) != 800 {
				t.Errorf("as it was: %v", err)
			}
		} else if !errors.Is(err, errSegment) || v.opened != nil {
			t.Errorf("%s: got %v after %v allocations, want damage", name, err, allocated)
		}
	}
}

func TestADamagedCompressedSegmentCostsItsMessagesAndNoOther(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, zstdConfig())
	q := queue(t, s, "client")
	for first := 0; first < 30_000; first += 500 {
		samples(t, s, q, first, 500)
	}
	closeStore(t, s)
	damageFirstSegment(t, dir)
	s = open(t, dir, zstdConfig())
	r := queue(t, s, "client").Reader(nil)
	n := 0
	for {
		it, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if string(it.Data) != sample(int(it.Ordinal)) {
			t.Fatalf("message %d is %q", it.Ordinal, it.Data)
		}
		n++
	}
	st := s.Stats()
	if n >= 30_000 || n < 28_000 || st.DamagedSegments != 1 || st.LostRecords != int64(30_000-n) {
		t.Errorf("%d of 30000 messages are there; stats: %+v", n, st)
	}
}

// damageFirstSegment changes a byte of packed records in the spool of a closed store.
func damageFirstSegment(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(spoolDir(dir), "*", "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.Index(b, []byte(segmentMagic))
		if i < 0 {
			continue
		}
		b[i+headerSize+lengthSize+100] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("there is no segment")
}
