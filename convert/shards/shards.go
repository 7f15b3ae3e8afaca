// Package shards finds the files of a checkpoint: one file, or several behind
// an index, which Hugging Face's libraries write alike for each format.
//
// An index is JSON: "weight_map" maps each tensor to the file, in the index's
// folder, that holds it.
package shards

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names are those under which a model directory keeps the weights of one
// format: one file, or the index of several.
type Names struct{ File, Index string }

// Open calls open for each file of the checkpoint at path: a file, an index (a
// path that ends in .json), or a directory that holds either. take says whether
// a tensor of the file is the checkpoint's: the weight_map decides, so what a
// shard holds beyond the map is left out, and what it lacks is an error. The error
// wraps fs.ErrNotExist where there is no such file or the directory has
// neither, but not where a shard is missing.
func Open(path string, n Names, open func(file string, take func(tensor string) bool) error) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		for _, name := range []string{n.File, n.Index} {
			inside := filepath.Join(path, name)
			if _, err := os.Stat(inside); !errors.Is(err, fs.ErrNotExist) {
				return Open(inside, n, open)
			}
		}
		return fmt.Errorf("neither %s nor %s: %w", n.File, n.Index, fs.ErrNotExist)
	case strings.HasSuffix(path, ".json"):
		return openAll(path, open)
	}
	return open(path, func(string) bool { return true })
}

// openAll opens the shards that an index names, by name.
func openAll(index string, open func(string, func(string) bool) error) error {
	files, err := ReadIndex(index)
	if err != nil {
		return err
	}
	for _, shard := range slices.Sorted(maps.Keys(files)) {
		wanted := files[shard]
		err := open(filepath.Join(filepath.Dir(index), shard), func(tensor string) bool {
			_, ok := wanted[tensor]
			delete(wanted, tensor)
			return ok
		})
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("shard %q, which the index names, is missing", shard)
		} else if err != nil {
			return fmt.Errorf("shard %q: %w", shard, err)
		}
		for _, name := range slices.Sorted(maps.Keys(wanted)) {
			return fmt.Errorf("tensor %q is not in its shard %q", name, shard)
		}
	}
	return nil
}

// ReadIndex reads an index and returns the names of the tensors by shard.
// Shards outside of the index's folder are refused.
func ReadIndex(path string) (map[string]map[string]struct{}, error) {
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
	files := make(map[string]map[string]struct{})
	for name, shard := range index.WeightMap {
		if !filepath.IsLocal(shard) {
			return nil, fmt.Errorf("tensor %q: shard %q lies outside the model's folder", name, shard)
		}
		if files[shard] == nil {
			files[shard] = make(map[string]struct{})
		}
		files[shard][name] = struct{}{}
	}
	return files, nil
}
