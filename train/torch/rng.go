package torch

// RNG is the randomness of dropout: a mask is a function of Seed, Offset and the element's index alone, whatever the number
// of threads. Each call of an operation that drops takes the next Offset. A copy saves the state, assigning replays it.
type RNG struct{ Seed, Offset uint64 }

// next takes one offset.
func (r *RNG) next() RNG {
	now := *r
	r.Offset++
	return now
}
