package modbus

import (
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
)

// TestADeviceHasATimeoutOfItsOwn: one that is slow is waited for, and the link's
// others are not given more time for it.
func TestADeviceHasATimeoutOfItsOwn(t *testing.T) {
	slow := every(10*time.Second, deviceOf("slow", 1, holding("x", 0)))
	slow.Timeout = 2 * time.Second
	simulate(t, line9600, turnaround, 300*time.Millisecond, func(b *bus) {
		b.Unit(1).SetHolding(0, 1)
		b.Unit(1).Inject(modbussim.Fault{Delay: 1500 * time.Millisecond})
		b.Unit(2).SetHolding(0, 1)
		b.Unit(2).Inject(modbussim.Fault{Delay: 400 * time.Millisecond})
		good := b.counted(time.Minute)
		if good["slow/x"] != 6 || good["late/x"] != 0 {
			t.Errorf("in a minute there were %d values of the slow one, and %d of one that is too late", good["slow/x"], good["late/x"])
		}
	}, slow, every(10*time.Second, deviceOf("late", 2, holding("x", 0))))
}

// A poll of one register at 9600 baud takes 28 ms, all in all. What pauses there are
// between two come on top.
func TestPausesBetweenRequestsAreKept(t *testing.T) {
	const pause = 100 * time.Millisecond
	for _, c := range []struct {
		name   string
		units  int
		change func(*Config)
		want   int // polls in ten seconds
	}{
		{"none", 2, func(*Config) {}, 358},
		{"a device's delay", 1, func(c *Config) { c.Device[0].Delay = pause }, 81},
		{"a link's delay", 1, func(c *Config) { c.Delay = pause }, 81},
		{"less than the link's", 1, func(c *Config) { c.Device[0].Delay, c.Delay = pause/2, pause }, 81},
		{"between two units", 2, func(c *Config) { c.SwitchDelay = pause }, 81},
		{"between two units, of one", 1, func(c *Config) { c.SwitchDelay = pause }, 358},
	} {
		cfg := Config{Name: "rs485", URL: line9600, Timeout: time.Second}
		for unit := range uint8(c.units) {
			cfg.Device = append(cfg.Device, every(minInterval, deviceOf(string('a'+rune(unit)), unit+1, holding("x", 0))))
		}
		c.change(&cfg)
		simulateConfig(t, cfg, turnaround, func(b *bus) {
			b.Unit(1).SetHolding(0, 1)
			b.Unit(2).SetHolding(0, 1)
			good := b.counted(10 * time.Second)
			if n := good["a/x"] + good["b/x"]; n < c.want-c.want/20 || n > c.want+c.want/20 {
				t.Errorf("%s: %d polls in ten seconds, want %d", c.name, n, c.want)
			}
		})
	}
}
