//go:build !lite

package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"graft/convert/safetensors"
	"graft/graph"
	"graft/train/torch"
)

// A checkpoint is the folder checkpoint-<step> of the output directory: a model directory that every command reads, and
// in its folder training all that a run needs to go on.
const (
	checkpointPrefix = "checkpoint-"
	stateDir         = "training"
	stateFile        = "state.json"
	tensorFile       = "state.safetensors" // param.<name>, exp_avg.<name>, exp_avg_sq.<name>
	stateFormat      = 1
)

// state is the part of a checkpoint that is no tensor.
type state struct {
	Format int       `json:"format"`
	Step   int       `json:"step"` // steps done
	Next   position  `json:"next"` // the batch after them
	RNG    torch.RNG `json:"rng"`  // of dropout
	Scaler *scaler   `json:"scaler,omitempty"`

	LogBytes    int64        `json:"log_bytes"` // of train_log.jsonl
	Evaluations []Evaluation `json:"evaluations,omitempty"`
	Fingerprint fingerprint  `json:"fingerprint"`
}

// checkpoints writes and finds the checkpoints of a run.
type checkpoints struct {
	dir   string // the output directory
	limit int    // kept besides the best; 0: all
	save  func(ctx context.Context, dir string, weights []*graph.Tensor) error
}

func (c *checkpoints) path(step int) string {
	return filepath.Join(c.dir, checkpointPrefix+strconv.Itoa(step))
}

// write makes the checkpoint of s.Step beside its place, makes it safe on disk and renames it. Whatever happens, the
// checkpoints that were there before stay until it is complete.
func (c *checkpoints) write(ctx context.Context, s *state, weights []*graph.Tensor, tensors map[string]*torch.Tensor) (err error) {
	final := c.path(s.Step)
	temporary := c.beside(s.Step, unfinished)
	defer func() {
		if err != nil {
			os.RemoveAll(temporary)
			err = fmt.Errorf("save checkpoint %q: %w", final, err)
		}
	}()
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	if err := os.Mkdir(temporary, 0o777); err != nil {
		return err
	}
	if err := c.save(ctx, temporary, weights); err != nil {
		return err
	}
	training := filepath.Join(temporary, stateDir)
	if err := os.Mkdir(training, 0o777); err != nil {
		return err
	}
	if err := writeTensors(filepath.Join(training, tensorFile), tensors); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(training, stateFile), append(raw, '\n'), 0o666); err != nil {
		return err
	}
	if err := syncTree(temporary); err != nil {
		return err
	}
	return c.place(temporary, final, c.beside(s.Step, replaced))
}

// Endings of folders beside a checkpoint's place.
const (
	unfinished = ".tmp"     // it is being written
	replaced   = ".old.tmp" // it makes room for another of the same step
)

// beside is such a folder.
func (c *checkpoints) beside(step int, ending string) string {
	return filepath.Join(c.dir, "."+filepath.Base(c.path(step))+ending)
}

// place renames a complete folder to its name; one that has it already makes room first, and is taken back by takeBack
// where a kill comes between the two.
func (c *checkpoints) place(temporary, final, old string) error {
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(final, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(temporary, final); err != nil {
		return err
	}
	if err := syncPath(c.dir); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// takeBack gives checkpoints their names back that had made room for others which did not come.
func (c *checkpoints) takeBack() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		name, old := strings.CutSuffix(e.Name(), replaced)
		if !old || !strings.HasPrefix(name, "."+checkpointPrefix) {
			continue
		}
		final := filepath.Join(c.dir, name[1:])
		if _, err := os.Stat(final); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.Rename(filepath.Join(c.dir, e.Name()), final); err != nil {
			return err
		}
	}
	return nil
}

// steps lists the checkpoints of the output directory, oldest first.
func (c *checkpoints) steps() ([]int, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []int
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), checkpointPrefix)
		step, err := strconv.Atoi(text)
		if !ok || err != nil || step < 0 || !e.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(c.path(step), stateDir, stateFile)); err == nil {
			list = append(list, step)
		}
	}
	slices.Sort(list)
	return list, nil
}

// rotate removes the oldest checkpoints beyond the limit, but not that of step best; -1: there is no best.
func (c *checkpoints) rotate(best int) error {
	if c.limit == 0 {
		return nil
	}
	list, err := c.steps()
	if err != nil {
		return fmt.Errorf("remove old checkpoints: %w", err)
	}
	list = slices.DeleteFunc(list, func(step int) bool { return step == best })
	for _, step := range list[:max(0, len(list)-c.limit)] {
		if err := os.RemoveAll(c.path(step)); err != nil {
			return fmt.Errorf("remove old checkpoints: %w", err)
		}
	}
	return nil
}

// clear removes what a run that was killed left unfinished, and with all, its checkpoints too.
func (c *checkpoints) clear(all bool) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		left := strings.HasPrefix(e.Name(), "."+checkpointPrefix) && strings.HasSuffix(e.Name(), unfinished)
		if left || all && strings.HasPrefix(e.Name(), checkpointPrefix) && e.IsDir() {
			if err := os.RemoveAll(filepath.Join(c.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeTensors writes tensors under their names, without holding more than one of them twice.
func writeTensors(path string, tensors map[string]*torch.Tensor) error {
	var entries []safetensors.Entry
	for name, t := range tensors {
		entries = append(entries, safetensors.Entry{Name: name, DType: "F32", Shape: t.Shape()})
	}
	w, err := safetensors.Create(path, map[string]string{"format": "pt"}, entries)
	if err != nil {
		return err
	}
	defer w.Close()
	for name, t := range tensors {
		err := w.Tensor(name, func(out io.Writer) error {
			raw, err := t.Bytes()
			if err != nil {
				return err
			}
			_, err = out.Write(raw)
			return err
		})
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
	}
	return w.Commit()
}

// readState reads a checkpoint's state.json.
func readState(dir string) (*state, error) {
	raw, err := os.ReadFile(filepath.Join(dir, stateDir, stateFile))
	if err != nil {
		return nil, err
	}
	s := &state{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("%s: %w", stateFile, err)
	}
	if s.Format != stateFormat {
		return nil, fmt.Errorf("%s: format %d; this version reads %d", stateFile, s.Format, stateFormat)
	}
	if s.Step < 0 || s.Next.Epoch < 0 || s.Next.Batch < 0 || s.LogBytes < 0 {
		return nil, fmt.Errorf("%s: negative counts", stateFile)
	}
	return s, nil
}

// readTensors overwrites tensors with those of a checkpoint that have their names.
func readTensors(dir string, tensors map[string]*torch.Tensor) error {
	file, err := safetensors.Open(filepath.Join(dir, stateDir, tensorFile))
	if err != nil {
		return err
	}
	defer file.Close()
	for name, t := range tensors {
		if err := readTensor(file, name, t); err != nil {
			return fmt.Errorf("%s: tensor %q: %w", tensorFile, name, err)
		}
	}
	return nil
}

func readTensor(file *safetensors.Checkpoint, name string, t *torch.Tensor) error {
	saved := file.Tensor(name)
	if saved == nil {
		return errors.New("it is not in the file")
	}
	if !slices.Equal(saved.Shape, t.Shape()) {
		return fmt.Errorf("shape %v, want %v", saved.Shape, t.Shape())
	}
	values, err := saved.Float32()
	if err != nil {
		return err
	}
	source, err := torch.FromFloat32(values, saved.Shape...)
	if err != nil {
		return err
	}
	defer source.Free()
	return t.CopyFrom(source)
}

// syncTree makes all files below a folder safe on disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
