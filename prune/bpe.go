package prune

import (
	"errors"
	"fmt"
	"strings"
)

// pair is two neighbouring symbols that BPE merges.
type pair struct{ left, right string }

// merges are a BPE model's, in order of rank.
func merges(f *tokenizerFile) ([]pair, error) {
	for _, affix := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if s, _ := f.model[affix].(string); s != "" {
			return nil, fmt.Errorf("BPE with %s %q cannot be pruned", affix, s)
		}
	}
	list, ok := f.model["merges"].([]any)
	if !ok {
		return nil, errors.New("the BPE model has no merges")
	}
	pairs := make([]pair, len(list))
	for i, x := range list {
		switch m := x.(type) {
		case string: // written so until version 0.20
			left, right, ok := strings.Cut(m, " ")
			if !ok {
				return nil, fmt.Errorf("merge %d: %q is not two symbols", i, m)
			}
			pairs[i] = pair{left, right}
		case []any:
			if len(m) != 2 {
				return nil, fmt.Errorf("merge %d has %d symbols", i, len(m))
			}
			pairs[i] = pair{fmt.Sprint(m[0]), fmt.Sprint(m[1])}
		default:
			return nil, fmt.Errorf("merge %d: %v is not two symbols", i, x)
		}
	}
	return pairs, nil
}

// mergedFrom marks what the used tokens are merged from: without a step on its way, a token would not
// come about. Merges never cross a token's ends, so the way is that of the token alone.
func mergedFrom(f *tokenizerFile, keep map[int]bool) error {
	pairs, err := merges(f)
	if err != nil {
		return err
	}
	rank := make(map[pair]int, len(pairs))
	for i, p := range pairs {
		if _, ok := rank[p]; !ok {
			rank[p] = i
		}
	}
	used := make([]string, 0, len(keep))
	for id := range keep {
		used = append(used, f.token[id])
	}
	for _, token := range used {
		symbols := strings.Split(token, "")
		for len(symbols) > 1 {
			best, at := len(pairs), -1
			for i := range len(symbols) - 1 {
				if r, ok := rank[pair{symbols[i], symbols[i+1]}]; ok && r < best {
					best, at = r, i
				}
			}
			if at < 0 {
				break // an added token, or one that is taken whole
			}
			symbols[at] += symbols[at+1]
			symbols = append(symbols[:at+1], symbols[at+2:]...)
			if id, ok := f.ids[symbols[at]]; ok {
				keep[id] = true
			}
		}
	}
	return nil
}

// rewriteBPE leaves the merges of tokens that stay.
func rewriteBPE(f *tokenizerFile, number map[int]int) error {
	pairs, err := merges(f)
	if err != nil {
		return err
	}
	stays := func(token string) bool {
		id, ok := f.ids[token]
		_, kept := number[id]
		return ok && kept
	}
	list := f.model["merges"].([]any)
	kept := []any{}
	for i, p := range pairs {
		if stays(p.left) && stays(p.right) && stays(p.left+p.right) {
			kept = append(kept, list[i])
		}
	}
	f.model["merges"] = kept
	return f.renumberVocab(number)
}
