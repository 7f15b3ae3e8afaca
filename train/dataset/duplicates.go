package dataset

// cutApart cuts rows into batches in which no two rows share a text. Each row, in order, goes to the first batch that
// has a place and comes after every batch that has one of its texts already. So a row with texts of its own goes where
// it would have gone without this, every row is in one batch, and it takes a few steps a row however often texts
// repeat: the batches that a frequent text leaves short are the price of it.
func (s *Sampler) cutApart(epoch int, rows []uint32, size int) [][]uint32 {
	var batches [][]uint32
	var after []uint32                           // of each batch: itself while it has a place, else a later one
	first := make([]uint32, len(s.tokens.texts)) // of each text: the first batch that may take it
	for _, row := range rows {
		texts := s.groupTexts(epoch, row)
		b := uint32(0)
		for _, text := range texts {
			b = max(b, first[text])
		}
		b = firstWithPlace(after, b)
		if int(b) >= len(batches) {
			b = uint32(len(batches))
			batches, after = append(batches, nil), append(after, b)
		}
		batches[b] = append(batches[b], row)
		if len(batches[b]) == size {
			after[b] = b + 1
		}
		for _, text := range texts {
			first[text] = b + 1
		}
	}
	return batches
}

// firstWithPlace follows after from batch b to one that has a place, or is yet to be made, and shortens the way.
func firstWithPlace(after []uint32, b uint32) uint32 {
	end := b
	for int(end) < len(after) && after[end] != end {
		end = after[end]
	}
	for b != end && int(b) < len(after) {
		b, after[b] = after[b], end
	}
	return end
}

// groupTexts are the texts of a row's group, equal texts having one number.
func (s *Sampler) groupTexts(epoch int, row uint32) []uint32 {
	chosen := s.sample(epoch, row)
	texts := make([]uint32, 0, len(chosen)+1)
	texts = append(texts, s.same[s.tokens.rows[row].Query])
	for _, passage := range chosen {
		texts = append(texts, s.same[s.tokens.passages[passage]])
	}
	return texts
}

// sameTexts gives, for each text, the number that stands for all texts with its hash. Texts of one kind are told apart
// already: what is left is a passage that is also a query.
func (c *content) sameTexts() []uint32 {
	queries := make(map[uint64]uint32)
	for _, r := range c.rows {
		queries[c.texts[r.Query].Hash] = r.Query
	}
	same := make([]uint32, len(c.texts))
	for i, t := range c.texts {
		same[i] = uint32(i)
		if query, ok := queries[t.Hash]; ok {
			same[i] = query
		}
	}
	return same
}
