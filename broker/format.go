package broker

import (
	"fmt"

	"headgate/broker/store"
)

// dataFormat is raised with any format of what the broker has the store keep:
// messages (messageFormat), sessions, wills, subscriptions, the clock's record. What
// waits in the queues is first read when somebody takes it: one number says at the
// start already that a newer headgate wrote some of it.
const dataFormat = 1

// formatKey is the state key of that number, one byte. Without it the data are older.
const formatKey = "format"

func (b *Broker) checkFormat() error {
	var format byte
	err := b.store.State(formatKey, func(key string, value []byte) error {
		if key == formatKey && len(value) == 1 {
			format = value[0]
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("read the format of the broker's data: %w", err)
	case format > dataFormat:
		return fmt.Errorf("the sessions and messages in the store are of format %d (its state key %q): a newer headgate wrote them, this one reads format %d at most: install that release again, or give another data_dir",
			format, formatKey, dataFormat)
	case format < dataFormat:
		// Ahead of everything that this start writes.
		b.store.Commit([]store.Record{{Kind: store.Put, Key: formatKey, Data: []byte{dataFormat}}}, func(err error) {
			if err != nil {
				b.log.Warn("format of the data is not on disk", "err", err)
			}
		})
	}
	return nil
}
