package store

// SetLimits puts those limits of another configuration, as Open takes it, into force
// that need no store that is opened again: AtLimit, CardEndurance, DailyWriteBudget, and
// MaxBytes, unless its quarter is less than a generation has room for. Then it is false,
// and MaxBytes stays as it was.
func (s *Store) SetLimits(cfg Config) bool {
	cfg.SetDefaults()
	s.mu.Lock()
	fits := int64(cfg.MaxBytes)/4 >= s.spool.room
	s.cfg.AtLimit, s.cfg.CardEndurance, s.cfg.DailyWriteBudget = cfg.AtLimit, cfg.CardEndurance, cfg.DailyWriteBudget
	if fits {
		s.cfg.MaxBytes, s.space.maxBytes = cfg.MaxBytes, int64(cfg.MaxBytes)
	}
	s.mu.Unlock()
	if s.wear != nil {
		s.wear.setLimits(int64(cfg.CardEndurance), int64(cfg.DailyWriteBudget))
	}
	return fits
}

// setLimits takes another endurance and budget.
func (w *wear) setLimits(endurance, budget int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if budget != w.budget {
		w.budgetSaidOn = unknown
	}
	w.endurance, w.budget = endurance, budget
}
