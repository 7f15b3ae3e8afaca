package pickle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// openIndex opens the shards that an index names. The weight_map decides: a
// tensor is taken from the shard it is mapped to, and one that a shard holds
// beyond the map is left out.
func openIndex(path string) (_ *Checkpoint, err error) {
	shards, err := readIndex(path)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{byName: make(map[string]*Tensor)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		f, tensors, err := openFile(filepath.Join(filepath.Dir(path), shard))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("shard %q, which the index names, is missing", shard)
		} else if err != nil {
			return nil, fmt.Errorf("shard %q: %w", shard, err)
		}
		c.files = append(c.files, f)
		wanted := shards[shard]
		for _, t := range tensors {
			if wanted[t.Name] {
				delete(wanted, t.Name)
				c.addTensor(t)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(wanted)) {
			return nil, fmt.Errorf("tensor %q is not in its shard %q", name, shard)
		}
	}
	return c, nil
}

// readIndex reads a weight_map (tensor name to file name) and returns the
// names of the tensors by shard. Shards outside the index's folder are
// refused.
func readIndex(path string) (map[string]map[string]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if len(index.WeightMap) == 0 {
		return nil, errors.New("index has no weight_map")
	}
	shards := make(map[string]map[string]bool)
	for name, shard := range index.WeightMap {
		if !filepath.IsLocal(shard) {
			return nil, fmt.Errorf("tensor %q: shard %q lies outside the model's folder", name, shard)
		}
		if shards[shard] == nil {
			shards[shard] = make(map[string]bool)
		}
		shards[shard][name] = true
	}
	return shards, nil
}
