package store

import "time"

// Stats is what the store has done since Open, and where it stands.
type Stats struct {
	Commits  int64         // transactions that reached the disk
	Records  int64         // records in them
	Bytes    int64         // bytes of segments in them
	Acks     int64         // acknowledgements taken
	Refused  int64         // commits that ended with ErrFull
	SyncTime time.Duration // spent in writing and syncing, all commits together
	SyncLast time.Duration // the last one
	SyncMax  time.Duration

	SpoolBytes   int64 // what the spool's records take on disk
	Generations  int   // directories in the spool
	RingBytes    int64 // newest records in memory
	PendingBytes int64 // of them, not on disk yet
	FreeBytes    int64 // free space in the file system, as last seen
	Queues       int
	Messages     int64 // unacknowledged, all queues together

	Checkpoints     int64
	NextRecord      uint64 // the number that the next record gets
	DurableRecord   uint64 // every record up to this one is on disk
	DamagedSegments int64  // segments that could not be read, and were skipped
	LostRecords     int64  // records that were in them or are missing, as far as it can be told
}

// QueueStats is where one queue stands.
type QueueStats struct {
	Messages int64  // unacknowledged
	Bytes    int64  // of their Data and Meta
	Next     uint64 // the ordinal that the next message gets
	Head     uint64 // the ordinal of the first one that is not acknowledged
}
