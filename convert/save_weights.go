package convert

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/convert/safetensors"
)

// defaultShard is the most bytes that a file of a checkpoint holds, as the Hugging Face libraries
// cut theirs.
const defaultShard = 5_000_000_000

// weights puts the checkpoint into the directory: safetensors files as they are where nothing has
// changed, else safetensors files with the same names.
func (s *saver) weights() error {
	from := s.model.source
	if from == nil {
		return nil
	}
	if from.format == "safetensors" && len(s.model.changed) == 0 {
		return s.linkAll(from.files)
	}
	list, err := s.model.checkpointTensors(s.KeepDType, func(name string) bool { return s.denseOf(name) == "" })
	if err != nil {
		return err
	}
	return s.writeTensors("", list)
}

// denseOf is the folder of the Dense module that a tensor belongs to, "" for the transformer's.
func (s *saver) denseOf(name string) string {
	for _, d := range s.model.Modules.Dense {
		if strings.HasPrefix(name, d.Dir+".") {
			return d.Dir
		}
	}
	return ""
}

// dense puts the folders of Dense modules into the directory.
func (s *saver) dense() error {
	for _, d := range s.model.Modules.Dense {
		changed := false
		for name := range s.model.changed {
			changed = changed || s.denseOf(name) == d.Dir
		}
		entries, err := os.ReadDir(filepath.Join(s.model.Dir, d.Dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() || changed && slices.Contains(checkpointFiles, e.Name()) {
				continue
			}
			if err := s.link(filepath.Join(s.model.Dir, d.Dir, e.Name()), filepath.Join(d.Dir, e.Name())); err != nil {
				return err
			}
		}
		if !changed {
			continue
		}
		list, err := s.model.checkpointTensors(s.KeepDType, func(name string) bool { return s.denseOf(name) == d.Dir })
		if err != nil {
			return err
		}
		for i := range list {
			list[i].Name = strings.TrimPrefix(list[i].Name, d.Dir+".")
		}
		if err := s.writeTensors(d.Dir, list); err != nil {
			return err
		}
	}
	return nil
}

// writeTensors writes a checkpoint into a folder of the directory: one file, or shards and their
// index where it is larger than a shard may be.
func (s *saver) writeTensors(dir string, list []checkpointTensor) error {
	shards, total, err := split(list, s.ShardSize)
	if err != nil {
		return err
	}
	if len(shards) == 1 {
		return s.writeFile(filepath.Join(dir, safetensors.FileName), list)
	}
	files := map[string]string{}
	for i, shard := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		if err := s.writeFile(filepath.Join(dir, name), shard); err != nil {
			return err
		}
		for _, t := range shard {
			files[t.Name] = name
		}
	}
	index := map[string]any{"metadata": map[string]any{"total_size": total}, "weight_map": files}
	return writeJSON(filepath.Join(s.dir, dir, safetensors.IndexName), index)
}

// split cuts a list into shards of at most size bytes, or of one tensor; 0 stands for the default.
func split(list []checkpointTensor, size int64) (shards [][]checkpointTensor, total int64, err error) {
	if size == 0 {
		size = defaultShard
	}
	room := int64(0)
	for _, t := range list {
		n, err := safetensors.ByteSize(t.DType, t.Shape)
		if err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if len(shards) == 0 || n > room {
			shards, room = append(shards, nil), size
		}
		last := &shards[len(shards)-1]
		*last, room, total = append(*last, t), room-n, total+n
	}
	return shards, total, nil
}

// writeFile writes one safetensors file of the directory.
func (s *saver) writeFile(name string, list []checkpointTensor) error {
	entries := make([]safetensors.Entry, len(list))
	for i, t := range list {
		entries[i] = t.Entry
	}
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	w, err := safetensors.Create(path, map[string]string{"format": "pt"}, entries)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, t := range list {
		if err := w.Tensor(t.Name, func(out io.Writer) error { return t.write(stoppableWriter{s.ctx, out}) }); err != nil {
			return err
		}
	}
	return w.Commit()
}
