package loss

import "slices"

// FalseNegatives lists, for each query, the passages that would count as its negatives though their text is that of a
// known positive of the query. positives are the hashes of each query's known positives, passages those of all
// passages; the positive that query i is trained on is passage first+i*group, and is never listed. Without any the list
// is nil.
func FalseNegatives(positives [][]uint64, passages []uint64, group, first int) [][]int {
	at := make(map[uint64][]int, len(passages))
	for i, hash := range passages {
		at[hash] = append(at[hash], i)
	}
	out, found := make([][]int, len(positives)), false
	for i, known := range positives {
		own := first + i*group
		for _, hash := range slices.Compact(slices.Sorted(slices.Values(append([]uint64{passages[own]}, known...)))) {
			for _, p := range at[hash] {
				if p != own {
					out[i], found = append(out[i], p), true
				}
			}
		}
		slices.Sort(out[i])
	}
	if !found {
		return nil
	}
	return out
}

// SameTexts lists, for each query, the passages with its own hash. Without any the list is nil.
func SameTexts(queries, passages []uint64) [][]int {
	at := make(map[uint64][]int, len(passages))
	for i, hash := range passages {
		at[hash] = append(at[hash], i)
	}
	out, found := make([][]int, len(queries)), false
	for i, hash := range queries {
		out[i] = at[hash]
		found = found || out[i] != nil
	}
	if !found {
		return nil
	}
	return out
}
