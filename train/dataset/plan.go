package dataset

import (
	"cmp"
	"slices"
)

// plan is the rows of each batch of an epoch, of all ranks together.
type plan struct {
	Epoch
	epoch   int
	batches [][]uint32
}

// newPlan plans an epoch: order the rows, divide them by source, sort them by length, cut batches, order the batches.
func (s *Sampler) newPlan(epoch int) *plan {
	o := s.options
	size := o.BatchSize * o.World
	order := make([]uint32, s.tokens.Len())
	for i := range order {
		order[i] = uint32(i)
	}
	if o.Shuffle {
		random(orderRows, o.Seed, epoch).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	p := &plan{epoch: epoch}
	for _, rows := range s.divide(order) {
		if o.GroupByLength {
			groupByLength(rows, s.lengths, size)
		}
		if o.NoDuplicates {
			p.batches = append(p.batches, s.cutApart(epoch, rows, size)...)
		} else {
			p.batches = slices.AppendSeq(p.batches, slices.Chunk(rows, size))
		}
	}
	p.settle(o, size)
	if o.SameSource && o.Shuffle {
		random(orderBatches, o.Seed, epoch).Shuffle(len(p.batches), func(i, j int) {
			p.batches[i], p.batches[j] = p.batches[j], p.batches[i]
		})
	}
	p.Batches = len(p.batches)
	p.Dropped = len(order) - p.Rows
	return p
}

// settle drops incomplete batches, or cuts them so that all ranks have equally many rows, and counts.
func (p *plan) settle(o SamplerOptions, size int) {
	kept := p.batches[:0]
	for _, rows := range p.batches {
		if len(rows) < size {
			rows = rows[:len(rows)-len(rows)%o.World]
			if o.DropLast || len(rows) == 0 {
				continue
			}
			p.Incomplete++
		}
		p.Rows += len(rows)
		kept = append(kept, rows)
	}
	p.batches = kept
}

// divide divides rows by their source where batches are of one; it keeps their order.
func (s *Sampler) divide(order []uint32) [][]uint32 {
	if !s.options.SameSource {
		return [][]uint32{order}
	}
	parts := make([][]uint32, len(s.tokens.Sources))
	for _, row := range order {
		source := s.tokens.rows[row].Source
		parts[source] = append(parts[source], row)
	}
	return parts
}

// groupByLength sorts rows by length, longest first, within stretches of many batches, so that a batch's rows are alike
// and the order is random still. The longest row of all comes first: memory that does not suffice shows at once. It is
// get_length_grouped_indices of Hugging Face transformers.
func groupByLength(rows, lengths []uint32, batch int) {
	stretch := batch * max(1, min(len(rows)/(batch*4), 50))
	longest := 0
	for start := 0; start < len(rows); start += stretch {
		part := rows[start:min(start+stretch, len(rows))]
		slices.SortStableFunc(part, func(a, b uint32) int { return cmp.Compare(lengths[b], lengths[a]) })
		if lengths[rows[start]] > lengths[rows[longest]] {
			longest = start
		}
	}
	if len(rows) > 0 {
		rows[0], rows[longest] = rows[longest], rows[0]
	}
}

// rowLengths is the length of each row: the tokens of its query and of the passages that a group has on average.
func (c *content) rowLengths(groupSize int) []uint32 {
	lengths := make([]uint32, len(c.rows))
	for i, r := range c.rows {
		var sum, n uint64
		passages := c.passages[r.Passages:][:r.Pos+r.Neg]
		for _, text := range passages {
			sum += uint64(c.texts[text].Length)
			n++
		}
		lengths[i] = c.texts[r.Query].Length + uint32(sum*uint64(groupSize)/n)
	}
	return lengths
}
