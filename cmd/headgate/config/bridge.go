package config

import (
	"headgate/bridge"
	"headgate/broker"
)

// Bridge is one [[bridge]] table: what the bridge itself knows, and the limits of
// its queue, which is the broker's.
type Bridge struct {
	bridge.Config

	// Queue bounds what waits for the upstream: queue = { max_bytes = "500MB",
	// max_wait = "72h", at_limit = "drop_oldest" }.
	Queue broker.QueueLimits `toml:"queue"`
}

// SetDefaults fills what was left out.
func (b *Bridge) SetDefaults() {
	b.Config.SetDefaults()
	b.Queue.SetDefaults()
}

// Check reports each fault by its key, relative to the [[bridge]] table.
func (b *Bridge) Check(fault func(key, format string, args ...any)) {
	b.Config.Check(fault)
	b.Queue.Check(func(key, format string, args ...any) { fault("queue."+key, format, args...) })
}
