package bridge

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"headgate/gateway/format"
)

// missing counts those of want that are not in got.
func missing(got, want []string) (absent int) {
	there := make(map[string]bool)
	for _, s := range got {
		there[s] = true
	}
	for _, s := range want {
		if !there[s] {
			absent++
		}
	}
	return absent
}

// Mosquitto hands a message to its subscribers before it acknowledges it, where none
// of them has a window: so what is missing here, the bridge has lost.
func TestAMosquittoKilledInTheMiddleOfBatchesMissesNothing(t *testing.T) {
	t.Parallel()
	for _, version := range []string{version5, version311} {
		t.Run("MQTT "+version, func(t *testing.T) {
			m := newMosquitto(t, "allow_anonymous true", "max_inflight_messages 0")
			src := newMemory(t)
			p := proxyTo(t, m.addr())
			p.Delay(2 * time.Millisecond)
			cfg := inBatches(config(p.Addr()), Batch{Messages: 7, Interval: 50 * time.Millisecond})
			cfg.Version, cfg.MaxInFlight = version, 50
			want := numbers(2000)
			for i := range want {
				want[i] = "n" + want[i] // no JSON
			}
			src.put("field/a", want[:1000]...)
			before := m.subscribe("plant/#")
			b := start(t, cfg, src)
			eventually(t, "some are there", func() bool { return b.Stats().Forwarded > 100 })
			p.Break() // with batches on their way
			eventually(t, "more are there", func() bool { return b.Stats().Forwarded > 300 })
			m.end(syscall.SIGKILL)
			p.Cut() // until somebody listens again
			left := src.left()
			src.put("field/a", want[1000:]...)
			m.start()
			after := m.subscribe("plant/#")
			if err := p.Mend(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all let go", func() bool { return src.left() == 0 })
			var got []string
			eventually(t, "all arrived", func() bool {
				got = got[:0]
				for _, line := range append(before.got(), after.got()...) {
					_, batch, _ := strings.Cut(line, "[")
					for _, e := range entries(t, []byte("["+batch)) {
						got = append(got, strings.TrimPrefix(e, "plant/a text "))
					}
				}
				return missing(got, want) == 0
			})
			st := b.Stats()
			t.Logf("%d messages in %d batches over %d connections; %d were left when it was killed", len(want), st.Batches, st.Reconnects+1, left)
			if len(st.GivenUp) != 0 || st.Reconnects < 2 || left == 0 || len(src.twice) != 0 {
				t.Errorf("stats: %+v, acknowledged twice: %v", st, src.twice)
			}
		})
	}
}

// What mosquitto_sub writes into a file, the usual programs unpack.
func TestTheUsualProgramsUnpackABatch(t *testing.T) {
	t.Parallel()
	for compression, program := range map[string][]string{
		compressionGzip: {"gzip", "-dc"},
		compressionZstd: {"zstd", "-dc"},
	} {
		needPrograms(t, program[0])
		var p packer
		want := []byte(strings.Repeat(sampleAt(5000, "231.4")+"\n", 100))
		packed, err := p.pack(compression, want)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program[0], program[1:]...)
		cmd.Stdin = bytes.NewReader(packed)
		got, err := cmd.Output()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, %v; want %d", compression, len(got), err, len(want))
		}
	}
}

// BenchmarkBatch is what a sample takes on the wire, with its PUBLISH and its share of
// the PUBACK, in each format and compression; and what the bridge can send.
func BenchmarkBatch(b *testing.B) {
	for _, c := range batchCosts() {
		b.Run(c.name, func(b *testing.B) {
			k := newSink(b, false)
			src := newMemory(b)
			for i := range b.N {
				topic, payload := pointOf(i)
				src.put(topic, payload)
			}
			addr, wire := metered(b, k.addr())
			cfg := config(addr)
			cfg.MaxInFlight = 2000
			cfg.Origin, cfg.Up[0].Config, cfg.Up[0].Batch = originOf, c.format, c.batch
			b.ResetTimer()
			began := time.Now()
			start(b, cfg, src)
			eventually(b, "all let go", func() bool { return src.left() == 0 })
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "msg/s")
			b.ReportMetric(float64(wire.Load())/float64(b.N), "bytes/sample")
		})
	}
}

// batchCost is a case of BenchmarkBatch.
type batchCost struct {
	name   string
	format format.Config
	batch  Batch
}

func batchCosts() []batchCost {
	hundred := func(compression string) Batch { return Batch{Messages: 100, Compression: compression} }
	return []batchCost{
		{"json/single", format.Config{}, Batch{}},
		{"json/batch", format.Config{}, hundred("none")},
		{"json/batch+gzip", format.Config{}, hundred("gzip")},
		{"json/batch+zstd", format.Config{}, hundred("zstd")},
		{"json_device/single", format.Config{Format: format.JSONDevice}, Batch{}},
		{"json_device/batch+zstd", format.Config{Format: format.JSONDevice}, hundred("zstd")},
		{"influx/batch+zstd", format.Config{Format: format.Influx}, hundred("zstd")},
		{"cbor/single", format.Config{Format: format.CBOR}, Batch{}},
		{"cbor/batch+zstd", format.Config{Format: format.CBOR}, hundred("zstd")},
	}
}

// pointOf gives a sample of a meter of ten points that are read each second.
func pointOf(i int) (topic, payload string) {
	names := [...]string{"voltage_l1", "voltage_l2", "voltage_l3", "current_l1", "current_l2", "current_l3", "power", "frequency", "energy_import", "power_factor"}
	scale := [...]float64{230, 231, 229, 5, 4, 6, 3450, 50, 123456, 0.98}
	read := i / len(names)
	at := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC).Add(time.Duration(read) * 333 * time.Millisecond)
	value := scale[i%10] * (1 + float64((i*7919)%1000)/50000)
	return fmt.Sprintf("field/meter%d/%s", read%3+1, names[i%10]),
		fmt.Sprintf(`{"value":%.2f,"unit":"V","time":"%s","quality":"good"}`, value, at.Format("2006-01-02T15:04:05.000Z"))
}

// metered passes connections on, and counts the bytes of both directions.
func metered(t testing.TB, target string) (addr string, wire *atomic.Int64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	wire = new(atomic.Int64)
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				return
			}
			for _, way := range [...][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					defer way[1].Close()
					buf := make([]byte, 64<<10)
					for {
						n, err := way[0].Read(buf)
						wire.Add(int64(n))
						if err != nil {
							return
						}
						if _, err := way[1].Write(buf[:n]); err != nil {
							return
						}
					}
				}()
			}
		}
	}()
	return l.Addr().String(), wire
}
