//go:build !lite

package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// logFile is the log in the output directory: one JSON object a line, one line a step, and one for each evaluation.
const logFile = "train_log.jsonl"

// StepLine is what train_log.jsonl says of a step. All but the last fields depend on data, options and seed alone.
type StepLine struct {
	Step         int     `json:"step"` // counted from 1
	Epoch        float64 `json:"epoch"`
	Loss         float64 `json:"loss"`
	GradNorm     float64 `json:"grad_norm"` // before clipping
	LearningRate float64 `json:"learning_rate"`
	Queries      int     `json:"queries"`
	Tokens       int     `json:"tokens"`                 // of the step's texts, without padding
	LossScale    float64 `json:"loss_scale,omitempty"`   // float16 alone
	Skipped      bool    `json:"skipped,omitempty"`      // float16: gradients overflowed, nothing was changed
	StepSeconds  float64 `json:"step_seconds"`           // of the clock
	Resident     int64   `json:"resident_bytes"`         // memory of the process
	DeviceBytes  int64   `json:"device_bytes,omitempty"` // memory taken on the accelerator
}

// evalLine is what the log says of an evaluation.
type evalLine struct {
	Evaluation
	EvalSeconds float64 `json:"eval_seconds"`
}

// stepLog appends to train_log.jsonl.
type stepLog struct {
	file *os.File
	size int64
}

// openLog opens the log of a run that goes on after the first size bytes, cutting off what a run that was killed wrote
// behind them; 0 begins anew. complete is false where the log is not as long as that: the run was copied from
// elsewhere without it.
func openLog(dir string, size int64) (l *stepLog, complete bool, err error) {
	path := filepath.Join(dir, logFile)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		complete, size = size == 0, 0
	case err != nil:
		return nil, false, fmt.Errorf("open log: %w", err)
	default:
		if complete = info.Size() >= size; !complete {
			size = 0
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, false, fmt.Errorf("open log: %w", err)
	}
	if err := errors.Join(f.Truncate(size), seek(f, size)); err != nil {
		f.Close()
		return nil, false, fmt.Errorf("open log: %w", err)
	}
	return &stepLog{file: f, size: size}, complete, nil
}

func seek(f *os.File, offset int64) error {
	_, err := f.Seek(offset, 0)
	return err
}

// write appends a line in one call.
func (l *stepLog) write(line any) error {
	raw, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	n, err := l.file.Write(append(raw, '\n'))
	l.size += int64(n)
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// sync makes the log safe on disk and gives its length.
func (l *stepLog) sync() (int64, error) {
	if err := l.file.Sync(); err != nil {
		return 0, fmt.Errorf("write log: %w", err)
	}
	return l.size, nil
}

// Close closes the log.
func (l *stepLog) Close() error { return l.file.Close() }
