package tokenizer

import "fmt"

// A Strategy says which text of a pair is shortened.
type Strategy string

// The strategies of Hugging Face's tokenizers.
const (
	LongestFirst Strategy = "longest_first" // the default
	OnlyFirst    Strategy = "only_first"
	OnlySecond   Strategy = "only_second"
)

// truncated returns how many tokens of two texts of n1 and n2 tokens are kept
// so that they are at most limit together. It follows truncate_encodings of the
// tokenizers library: longest_first gives both texts half of the limit, the first one
// the smaller half, unless the shorter one needs less.
func truncated(n1, n2, limit int, s Strategy) (int, int, error) {
	remove := n1 + n2 - limit
	if remove <= 0 {
		return n1, n2, nil
	}
	if limit == 0 {
		return 0, 0, nil
	}
	switch s {
	case OnlyFirst:
		if n1 <= remove {
			return 0, 0, fmt.Errorf("truncate: the first text has %d tokens, %d would have to go", n1, remove)
		}
		return n1 - remove, n2, nil
	case OnlySecond:
		if n2 <= remove {
			return 0, 0, fmt.Errorf("truncate: the second text has %d tokens, %d would have to go", n2, remove)
		}
		return n1, n2 - remove, nil
	case LongestFirst, "":
	default:
		return 0, 0, fmt.Errorf("truncate: unknown strategy %q", s)
	}
	short := min(n1, n2)
	long := short
	if short <= limit {
		long = max(short, limit-short)
	}
	if short+long > limit {
		short = limit / 2
		long = short + limit%2
	}
	if n1 > n2 {
		return long, short, nil
	}
	return short, long, nil
}

// keep returns n of the ids, from the end that is not truncated.
func keep(ids []uint32, n int, truncate Side) []uint32 {
	if truncate == Left {
		return ids[len(ids)-n:]
	}
	return ids[:n]
}
