package store

// share is several queues whose quotas hold for what all of them have together.
type share struct {
	queues []*Queue
	group  map[*Queue]int
}

// ShareQuota has the quotas of these queues, which are to be alike, hold for what
// all of them have together, from the next message on. Where the oldest make room,
// none of a later group is dropped for one of an earlier.
func (s *Store) ShareQuota(groups ...[]*Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := &share{group: make(map[*Queue]int)}
	for i, group := range groups {
		for _, q := range group {
			sh.queues = append(sh.queues, q)
			sh.group[q] = i
			q.share = sh
		}
	}
}

// held is what the queues have that q's quota holds for. The caller holds
// Store.mu, so that it can only become less, and no queue's.
func (q *Queue) held() (messages, bytes int64) {
	if q.share == nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.messages, q.bytes
	}
	for _, o := range q.share.queues {
		o.mu.Lock()
		messages, bytes = messages+o.messages, bytes+o.bytes
		o.mu.Unlock()
	}
	return messages, bytes
}

// asked is what a commit that is being looked at would add to them. The caller
// holds Store.mu.
func (q *Queue) asked() (messages, bytes int64) {
	if q.share == nil {
		return q.askedMessages, q.askedBytes
	}
	for _, o := range q.share.queues {
		messages, bytes = messages+o.askedMessages, bytes+o.askedBytes
	}
	return messages, bytes
}

// trim drops the oldest that no reader was given until there is room for so much
// more in q, as far as there are some to drop. The caller holds Store.mu, and no
// queue's.
func (q *Queue) trim(messages, bytes int64) {
	for {
		m, b := q.held()
		if m, b = m+messages, b+bytes; !q.quota.over(m, b) {
			return
		}
		from, until := q.giver()
		if from == nil || from.giveWay(m-q.quota.Messages, b-int64(q.quota.Bytes), until) == 0 {
			return
		}
	}
}

// giveWay drops so much, but only what is of records before until, where that is
// not 0 and known.
func (q *Queue) giveWay(messages, bytes int64, until uint64) (dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	end := q.unsent.enough(messages, bytes)
	if older := q.unsent.older(until); until > 0 && older > q.unsent.first {
		end = min(end, older)
	}
	dropped = q.dropTo(end)
	q.dropped(Drops{Oldest: dropped})
	return dropped
}

// giver is the queue with the oldest message that may be dropped for one of q; nil:
// none has any. until is the record of the next queue's oldest, 0 where there is none.
func (q *Queue) giver() (oldest *Queue, until uint64) {
	if q.share == nil {
		return q, 0
	}
	var first uint64
	for _, o := range q.share.queues {
		n := o.oldestUnsent()
		switch {
		case n == 0 || q.share.group[o] > q.share.group[q]:
		case oldest == nil || n < first:
			oldest, first, until = o, n, first
		case until == 0 || n < until:
			until = n
		}
	}
	return oldest, until
}

// oldestUnsent is the record of the oldest message that no reader was given, about;
// 0: there is none.
func (q *Queue) oldestUnsent() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if list := q.unsent.stretches(); len(list) > 0 {
		return list[0].from
	}
	return 0
}
