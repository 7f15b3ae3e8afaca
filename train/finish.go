//go:build !lite

package train

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"time"

	"graft/train/torch"
)

// cardFile is the model card.
const cardFile = "README.md"

// finish writes the model directory and its card into the output directory.
func (r *run) finish(ctx context.Context) error {
	if err := r.loadBest(); err != nil {
		return err
	}
	curve, err := readCurve(filepath.Join(r.options.OutputDir, logFile))
	if err != nil {
		return err
	}
	r.summarize(curve)
	if err := r.writeModel(context.WithoutCancel(ctx), curve); err != nil {
		return fmt.Errorf("save model in %q: %w", r.options.OutputDir, err)
	}
	return nil
}

// loadBest takes the parameters of the best checkpoint, where the options want that.
func (r *run) loadBest() error {
	b := r.best
	if !r.options.LoadBestModelAtEnd || b.step < 0 || b.step == r.state.Step {
		return nil
	}
	if b.step == 0 {
		r.hooks.Warn(fmt.Sprintf("no evaluation was better than that before training (%s %.5f); the result is the model after the last step", b.metric, b.value))
		return nil
	}
	path := r.bestPath()
	if err := readTensors(path, r.params.named("param.")); err != nil {
		return fmt.Errorf("read best checkpoint %q: %w", path, err)
	}
	r.note(fmt.Sprintf("the result is the model after step %d, with %s %.5f", b.step, b.metric, b.value))
	return nil
}

// readCurve reads the log's steps.
func readCurve(path string) ([]StepLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	var curve []StepLine
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var line struct {
			StepLine
			Metrics json.RawMessage `json:"metrics"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		if line.Metrics == nil {
			curve = append(curve, line.StepLine)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return curve, nil
}

// summarize completes the result.
func (r *run) summarize(curve []StepLine) {
	r.result.Steps, r.result.Epochs = r.state.Step, r.calendar.passed(r.state.Next)
	r.result.BestStep, r.result.Best = max(0, r.best.step), r.best.value
	r.result.Elapsed = time.Since(r.start)
	if len(curve) == 0 {
		return
	}
	r.result.FirstLoss, r.result.LastLoss = curve[0].Loss, curve[len(curve)-1].Loss
	tail := curve[len(curve)-max(1, len(curve)/10):]
	for _, l := range tail {
		r.result.MeanLoss += l.Loss / float64(len(tail))
	}
}

// writeModel makes the model directory in a folder of its own and moves its entries into place.
func (r *run) writeModel(ctx context.Context, curve []StepLine) error {
	temporary := filepath.Join(r.options.OutputDir, ".model.tmp")
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	if err := os.Mkdir(temporary, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := r.hooks.SaveModel(ctx, temporary, r.program.Weights()); err != nil {
		return err
	}
	text, err := r.card(curve).write()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temporary, cardFile), text, 0o666); err != nil {
		return err
	}
	if err := syncTree(temporary); err != nil {
		return err
	}
	entries, err := os.ReadDir(temporary)
	if err != nil {
		return err
	}
	for _, e := range entries {
		target := filepath.Join(r.options.OutputDir, e.Name())
		if e.IsDir() {
			if err := os.RemoveAll(target); err != nil {
				return err
			}
		}
		if err := os.Rename(filepath.Join(temporary, e.Name()), target); err != nil {
			return err
		}
	}
	if err := r.forgetTeacher(); err != nil {
		return err
	}
	return syncPath(r.options.OutputDir)
}

// card gathers what the model card says.
func (r *run) card(curve []StepLine) card {
	c := card{Model: r.model, Options: r.options, Result: r.result, Versions: versions(r.options.Version)}
	for _, s := range r.data.Sources {
		c.Sources = append(c.Sources, cardSource{filepath.Base(s.Path), s.Rows})
	}
	if len(curve) > 0 {
		c.First, c.Last = &curve[0], &curve[len(curve)-1]
	}
	return c
}

// versions are those of what computed; graft is the tool's own.
func versions(graft string) map[string]string {
	v := map[string]string{"Go": goruntime.Version()}
	if graft != "" {
		v["graft"] = graft
	}
	if t, err := torch.Version(); err == nil {
		v["libtorch"] = t
	}
	return v
}
