//go:build !lite

package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"graft/train/torch"
)

// eventsDir is the folder of TensorBoard's event files in the output directory, as in transformers.
const eventsDir = "runs"

// checkOutput decides where the run begins, and refuses a directory that holds something else.
func (r *run) checkOutput(context.Context) error {
	o := r.options
	if err := r.checkpoints.takeBack(); err != nil {
		return fmt.Errorf("open output directory: %w", err)
	}
	steps, err := r.checkpoints.steps()
	if err != nil {
		return fmt.Errorf("open output directory: %w", err)
	}
	switch {
	case o.ResumeFromCheckpoint != "auto" && o.ResumeFromCheckpoint != "none":
		r.from = o.ResumeFromCheckpoint
		return nil
	case o.OverwriteOutputDir:
		return nil
	case o.ResumeFromCheckpoint == "auto" && len(steps) > 0:
		r.from = r.checkpoints.path(steps[len(steps)-1])
		return nil
	}
	entries, err := os.ReadDir(o.OutputDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &FlagError{"output-dir", err.Error()}
	}
	for _, e := range entries {
		// A run that was killed before its first checkpoint left no more than these.
		if !e.IsDir() && e.Name() == logFile || e.IsDir() && (e.Name() == eventsDir || e.Name()[0] == '.') {
			continue
		}
		return &FlagError{"output-dir", fmt.Sprintf("%q is not empty: it has %q", o.OutputDir, e.Name())}
	}
	return nil
}

// begin restores a checkpoint, or clears the way for a new run, and opens the logs.
func (r *run) begin(context.Context) error {
	o := r.options
	if err := os.MkdirAll(o.OutputDir, 0o777); err != nil {
		return fmt.Errorf("make output directory: %w", err)
	}
	if err := r.checkpoints.clear(r.from == ""); err != nil {
		return fmt.Errorf("clear output directory: %w", err)
	}
	if r.from == "" {
		if err := os.RemoveAll(filepath.Join(o.OutputDir, eventsDir)); err != nil {
			return fmt.Errorf("clear output directory: %w", err)
		}
	} else if err := r.restore(); err != nil {
		return fmt.Errorf("resume from checkpoint %q: %w", r.from, err)
	}
	r.best = newBest(o.MetricForBestModel, r.state.Evaluations)
	r.result.Evaluations = r.state.Evaluations
	if o.LoadBestModelAtEnd && r.best.step > 0 {
		if _, err := os.Stat(r.bestPath()); err != nil {
			return fmt.Errorf("resume from checkpoint %q: the best checkpoint is missing: %w", r.from, err)
		}
	}
	var complete bool
	var err error
	if r.log, complete, err = openLog(o.OutputDir, r.state.LogBytes); err != nil {
		return err
	}
	if !complete {
		r.hooks.Warn(fmt.Sprintf("%s lacks the steps before the checkpoint; it begins with step %d", logFile, r.state.Step+1))
	}
	r.events, err = newEventWriter(filepath.Join(o.OutputDir, eventsDir), r.state.Step+1, time.Now)
	return err
}

// restore puts the run where the checkpoint was made.
func (r *run) restore() error {
	s, err := readState(r.from)
	if err != nil {
		return err
	}
	warning, err := r.fingerprint.check(s.Fingerprint)
	if err != nil {
		return err
	}
	if warning != "" {
		r.hooks.Warn(warning)
	}
	if s.Step > r.schedule.steps {
		return fmt.Errorf("it has %d steps behind it, the run has %d", s.Step, r.schedule.steps)
	}
	tensors := r.params.named("param.")
	maps.Copy(tensors, r.optimizerState())
	if err := readTensors(r.from, tensors); err != nil {
		return err
	}
	r.state, r.saved = *s, s.Step
	r.arithmetic.rng = s.RNG
	if r.scaler != nil && s.Scaler != nil {
		*r.scaler = *s.Scaler
	}
	r.result.ResumedFrom = r.from
	return nil
}

// bestPath is the folder of the best checkpoint. That of a run which went on in another output directory stays where it
// was made, beside the checkpoint that the run went on from.
func (r *run) bestPath() string {
	path := r.checkpoints.path(r.best.step)
	if _, err := os.Stat(path); err != nil && r.from != "" {
		return filepath.Join(filepath.Dir(r.from), filepath.Base(path))
	}
	return path
}

// named lists the parameters' tensors by name.
func (c *parameters) named(prefix string) map[string]*torch.Tensor {
	list := map[string]*torch.Tensor{}
	for i, name := range c.names {
		list[prefix+name] = c.tensors[i]
	}
	return list
}

// optimizerState lists AdamW's tensors under torch's names of them.
func (r *run) optimizerState() map[string]*torch.Tensor {
	list := map[string]*torch.Tensor{}
	for i, s := range r.adam.State() {
		name := r.params.names[i]
		list["exp_avg."+name], list["exp_avg_sq."+name], list["step."+name] = s.ExpAvg, s.ExpAvgSq, s.Step
	}
	return list
}

// save makes a checkpoint where the options ask for one after this step, or where must is true.
func (r *run) save(ctx context.Context, must bool) error {
	step, every := r.state.Step, r.options.SaveSteps
	due := every > 0 && step > 0 && step%every == 0 && r.saved != step
	if step == 0 || !due && !must {
		return nil
	}
	begin := time.Now()
	if err := r.snapshot(); err != nil {
		return err
	}
	tensors := r.params.named("param.")
	maps.Copy(tensors, r.optimizerState())
	if err := r.checkpoints.write(context.WithoutCancel(ctx), &r.state, r.program.Weights(), tensors); err != nil {
		if r.saved >= 0 && r.saved != step {
			err = fmt.Errorf("%w; the checkpoint before it, %q, is whole", err, r.checkpoints.path(r.saved))
		}
		return err
	}
	r.saved = step
	r.note(fmt.Sprintf("saved %s in %s", filepath.Base(r.checkpoints.path(step)), time.Since(begin).Round(time.Millisecond)))
	return r.checkpoints.rotate(r.best.step)
}

// snapshot completes the state with what others keep.
func (r *run) snapshot() error {
	r.state.Format, r.state.RNG, r.state.Scaler, r.state.Fingerprint = stateFormat, r.arithmetic.rng, r.scaler, r.fingerprint
	r.state.Evaluations = slices.Clone(r.result.Evaluations)
	var err error
	r.state.LogBytes, err = r.log.sync()
	return err
}

// interrupt ends a run whose context was cancelled, with a checkpoint of all steps that were taken. Other errors pass.
func (r *run) interrupt(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	if r.state.Step == 0 {
		return fmt.Errorf("interrupted before the first step: %w", err)
	}
	if r.saved != r.state.Step {
		if failed := r.save(ctx, true); failed != nil {
			return fmt.Errorf("%w: %w", err, failed)
		}
	}
	return fmt.Errorf("interrupted after step %d of %d; %q goes on from there: %w",
		r.state.Step, r.schedule.steps, r.checkpoints.path(r.saved), err)
}
