package store

// Badger runs without compactors. A database gets a table whenever a memtable is full
// and whenever it is closed, or opened after a crash. In a generation that is once a
// start, and recoverTail begins another before there are many. The tables of the state
// database are brought together after a checkpoint.

// mostTables is how many tables may lie above the others: a read looks into each.
const mostTables = 16

// tables is how many a generation has.
func (g *generation) tables() int {
	v, _ := takeInventory(g.dir) // what cannot be read is for the opening to tell
	return len(v.tables)
}

// compact brings the state database's tables together, where it is due and the disk
// has room for both. It is the keeper's: no commit waits for it.
func (s *Store) compact() {
	st, ok := s.state.(*stateDB)
	if !ok {
		return
	}
	above, bytes := st.due()
	if above == 0 || !s.space.writable(bytes) {
		return
	}
	st.compactNot = 0
	if err := st.db.Flatten(1); err != nil {
		st.compactNot = above
		s.log.Warn("the tables of the state database cannot be brought together yet", "path", st.dir, "err", err)
	}
}

// due gives how many tables lie above the others, if it is time to bring all together,
// and how many bytes that writes. Where much lies below, so much more is waited for: to
// write all of a large state again for a little that is new would wear the disk out.
func (st *stateDB) due() (above int, bytes int64) {
	levels := st.db.Levels()
	above = levels[0].NumTables
	for _, l := range levels {
		bytes += l.Size
	}
	added := levels[0].Size
	if above <= max(st.db.Opts().NumLevelZeroTables, st.compactNot) || above < mostTables && 2*added < bytes-added {
		return 0, 0
	}
	return above, bytes
}
