package prune

import (
	"encoding/json"
	"errors"
	"fmt"
)

// unigramPieces marks the unknown piece and the piece of the lowest score, by which unknown characters are scored.
func unigramPieces(f *tokenizerFile, keep map[int]bool) error {
	if f.model["unk_id"] != nil {
		id, err := number(f.model["unk_id"])
		if err != nil {
			return fmt.Errorf("unk_id: %w", err)
		}
		keep[id] = true
	}
	lowest, at := 0.0, -1
	vocab, ok := f.model["vocab"].([]any)
	if !ok {
		return errors.New("the vocabulary is not a list")
	}
	for id, entry := range vocab {
		score, ok := entry.([]any)[1].(json.Number)
		if !ok {
			return fmt.Errorf("piece %d has the score %v", id, entry.([]any)[1])
		}
		s, err := score.Float64()
		if err != nil {
			return err
		}
		if at < 0 || s < lowest {
			lowest, at = s, id
		}
	}
	if at >= 0 {
		keep[at] = true
	}
	return nil
}

// rewriteUnigram leaves the pieces that stay; their places are their ids.
func rewriteUnigram(f *tokenizerFile, number map[int]int) error {
	vocab, ok := f.model["vocab"].([]any)
	if !ok {
		return errors.New("the vocabulary is not a list")
	}
	kept := []any{}
	for id, entry := range vocab {
		if n, ok := number[id]; ok {
			if n != len(kept) {
				return fmt.Errorf("piece %d would get the id %d of an added token", id, n)
			}
			kept = append(kept, entry)
		}
	}
	if f.model["unk_id"] != nil {
		id, ok := f.model["unk_id"].(json.Number)
		if !ok {
			return fmt.Errorf("unk_id is %v", f.model["unk_id"])
		}
		old, err := id.Int64()
		if err != nil {
			return err
		}
		f.model["unk_id"] = number[int(old)]
	}
	f.model["vocab"] = kept
	return nil
}
