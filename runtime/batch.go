package runtime

import "slices"

// A batch is texts that run together, padded to one length.
type batch struct {
	texts  []int // indices into the window's texts
	length int   // tokens of a row, padding included
}

// plan groups texts of the given lengths (in tokens) into batches: longest first, so that texts
// of like length share a batch and the largest memory is asked for first; each batch holds at
// most rows texts (0: any number) and tokens padded tokens, but at least one text. Lengths are
// rounded up to a multiple of padTo.
func plan(lengths []int, rows, tokens, padTo int) []batch {
	order := make([]int, len(lengths))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return lengths[b] - lengths[a] })
	var batches []batch
	for len(order) > 0 {
		length := (max(lengths[order[0]], 1) + padTo - 1) / padTo * padTo
		n := max(1, tokens/length)
		if rows > 0 {
			n = min(n, rows)
		}
		n = min(n, len(order))
		batches = append(batches, batch{texts: order[:n], length: length})
		order = order[n:]
	}
	return batches
}
