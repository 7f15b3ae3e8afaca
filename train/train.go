//go:build !lite

package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"graft/train/dataset"
	"graft/train/loss"
	"graft/train/torch"
)

// Run trains a model and leaves a model directory in o.OutputDir: see Options for what else is there. Where ctx is
// cancelled, the running step is finished and a checkpoint saved; the error is then ctx's.
func Run(ctx context.Context, m Model, o Options, h Hooks) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	defer torch.Lock()()
	r := newRun(m, o, h)
	defer r.Close()
	for _, stage := range []func(context.Context) error{
		r.checkOutput, // is the directory free, or has it a checkpoint to go on from
		r.readData,    // every line is checked, then every text tokenized
		r.compile,     // the graph becomes a program with parameters and an optimizer
		r.begin,       // from a checkpoint, or anew
		r.loop,
		r.finish, // the model directory and its card
	} {
		if err := stage(ctx); err != nil {
			return nil, err
		}
	}
	return r.result, nil
}

// run is the state of one Run.
type run struct {
	model   Model
	options Options
	hooks   Hooks
	result  *Result
	start   time.Time

	data     *dataset.Set
	tokens   *dataset.Tokens
	sampler  *dataset.Sampler
	loss     *loss.Loss
	calendar calendar
	schedule schedule

	device      torch.Device
	program     *torch.Program
	arithmetic  *step
	params      *parameters
	adam        *torch.AdamW
	scaler      *scaler // nil but in float16
	encoder     *modelEncoder
	fingerprint fingerprint

	checkpoints *checkpoints
	from        string // the checkpoint to go on from; "": begin anew
	state       state  // as a checkpoint made now would have it, but for what snapshot adds
	saved       int    // step of the newest checkpoint; -1: none
	best        *best
	log         *stepLog
	events      *eventWriter
	pace        pace
}

func newRun(m Model, o Options, h Hooks) *run {
	if h.Warn == nil {
		h.Warn = func(string) {}
	}
	if h.Progress == nil {
		h.Progress = func(Progress) {}
	}
	return &run{
		model: m, options: settle(m, o, h.Warn), hooks: h, result: &Result{}, start: time.Now(), saved: -1,
		checkpoints: &checkpoints{dir: o.OutputDir, limit: o.SaveTotalLimit, save: h.SaveModel},
	}
}

// Close frees what the run holds.
func (r *run) Close() {
	if r.adam != nil {
		r.adam.Close()
	}
	if r.arithmetic != nil {
		r.arithmetic.workers.close()
	}
	if r.program != nil {
		r.program.Close()
	}
	if r.tokens != nil {
		r.tokens.Close()
	}
	if r.log != nil {
		r.log.Close()
	}
	if r.events != nil {
		r.events.Close()
	}
}

// loop takes the steps, and evaluates and saves where it is due.
func (r *run) loop(ctx context.Context) error {
	loader := startLoader(r.sampler, r.calendar, r.state.Next, r.schedule.steps-r.state.Step)
	defer loader.stop()
	for {
		better, err := r.evaluate(ctx)
		if err != nil {
			return r.interrupt(ctx, err)
		}
		ended := r.state.Step == r.schedule.steps || r.result.Stopped != ""
		if err := r.save(ctx, better && !ended); err != nil {
			return err
		}
		if ended {
			return nil
		}
		if ctx.Err() != nil {
			return r.interrupt(ctx, ctx.Err())
		}
		work := <-loader.work
		if work.err != nil {
			return fmt.Errorf("read batch: %w", work.err)
		}
		line, err := r.step(work.batches)
		if err != nil {
			return err
		}
		r.state.Step++
		r.state.Next = work.after
		if err := r.report(line); err != nil {
			return err
		}
	}
}

// step computes the gradient of the batches' mean loss and moves the parameters.
func (r *run) step(batches []dataset.Batch) (*StepLine, error) {
	begin := time.Now()
	line := &StepLine{Step: r.state.Step + 1, LearningRate: r.schedule.at(r.state.Step)}
	scale := 1.0
	if r.scaler != nil {
		scale = r.scaler.Scale
		line.LossScale = scale
	}
	r.arithmetic.steps = len(batches)
	for _, b := range batches {
		s, err := r.arithmetic.accumulate(b, scale)
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", line.Step, err)
		}
		line.Loss += s.loss
		line.Tokens += s.tokens
		line.Queries += len(b.Groups)
	}
	if err := r.move(line, scale); err != nil {
		if errors.Is(err, errNotFinite) {
			err = fmt.Errorf("%w; %s", err, r.describe(batches))
		}
		return nil, fmt.Errorf("step %d: %w", line.Step, err)
	}
	torch.ZeroGrads(r.params.tensors)
	line.StepSeconds = time.Since(begin).Seconds()
	return line, nil
}

var errNotFinite = errors.New("not a finite number")

// move clips the gradients and has the optimizer step with them. In float16, gradients that overflowed are left out.
func (r *run) move(line *StepLine, scale float64) error {
	if r.scaler != nil {
		if err := torch.ScaleGrads(r.params.tensors, 1/scale); err != nil {
			return err
		}
	}
	norm, err := torch.ClipGradNorm(r.params.tensors, r.options.MaxGradNorm)
	if err != nil {
		return err
	}
	line.GradNorm = norm
	switch {
	case finite(line.Loss) && finite(norm):
		if r.scaler != nil {
			r.scaler.good()
		}
		return r.adam.Step(line.LearningRate)
	case r.scaler != nil:
		line.Skipped, line.GradNorm = true, 0
		if !finite(line.Loss) {
			line.Loss = 0
		}
		return r.scaler.overflow()
	case !finite(line.Loss):
		return fmt.Errorf("the loss is %v: %w", line.Loss, errNotFinite)
	}
	return fmt.Errorf("the gradient's norm is %v at a loss of %.4g: %w", norm, line.Loss, errNotFinite)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
