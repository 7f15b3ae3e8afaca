package evaluate

import "errors"

// errPending says that other shards of a task are not done.
var errPending = errors.New("other shards are not done")

// mergeShards records that this shard has seen the whole corpus and, if all the others
// have, takes their rankings into its own.
func (s *ranker) mergeShards() error {
	s.complete = true
	if err := s.writeResume(s.heaps); err != nil {
		return err
	}
	for shard := 1; shard <= s.Shards; shard++ {
		if shard == s.Shard {
			continue
		}
		r, err := s.readRankings(shard)
		if err != nil {
			return err
		}
		if r == nil || !r.complete {
			return errPending
		}
		for q := range s.heaps {
			s.heaps[q].merge(s.TopK, r.heaps[q], &s.ids)
		}
		s.counts.Empty += r.counts.Empty
		s.counts.Repeated += r.counts.Repeated
		s.earlier += r.seconds
	}
	return nil
}

// merge offers the documents of another heap of the same query.
func (h *topK) merge(k int, other topK, ids *idTable) {
	for i, score := range other.scores {
		if len(h.scores) < k {
			h.push(score, other.documents[i], ids)
		} else {
			h.offer(score, other.documents[i], ids)
		}
	}
}
