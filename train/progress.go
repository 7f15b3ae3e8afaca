//go:build !lite

package train

import (
	"time"

	"graft/train/torch"
)

// pace measures the speed of the last steps.
type pace struct {
	recent []StepLine // at most paceSteps
}

const paceSteps = 20

func (p *pace) add(line StepLine) {
	if p.recent = append(p.recent, line); len(p.recent) > paceSteps {
		p.recent = p.recent[1:]
	}
}

// speed gives tokens, queries and steps per second.
func (p *pace) speed() (tokens, queries, steps float64) {
	var seconds float64
	for _, l := range p.recent {
		tokens += float64(l.Tokens)
		queries += float64(l.Queries)
		seconds += l.StepSeconds
	}
	if seconds == 0 {
		return 0, 0, 0
	}
	return tokens / seconds, queries / seconds, float64(len(p.recent)) / seconds
}

// report writes a step to the log and to TensorBoard, and tells the caller of it.
func (r *run) report(line *StepLine) error {
	line.Epoch = r.calendar.passed(r.state.Next)
	var peak int64
	line.Resident, peak = residentMemory()
	if r.device.Kind == torch.CUDA {
		if m, err := torch.MemoryStats(r.device); err == nil {
			line.DeviceBytes = m.Peak
		}
	}
	if err := r.log.write(line); err != nil {
		return err
	}
	err := r.events.scalars(line.Step, map[string]float64{
		"train/loss": line.Loss, "train/grad_norm": line.GradNorm, "train/learning_rate": line.LearningRate, "train/epoch": line.Epoch,
	})
	if err != nil {
		return err
	}
	r.pace.add(*line)
	p := r.progress()
	p.Loss, p.GradNorm, p.LearningRate = line.Loss, line.GradNorm, line.LearningRate
	p.Resident, p.PeakResident, p.DeviceMemory = line.Resident, peak, line.DeviceBytes
	every := r.options.LoggingSteps
	p.Log = every > 0 && line.Step%every == 0 || line.Step == r.schedule.steps
	if line.Skipped {
		p.Note = "gradients overflowed float16: the step is left out, the loss scale halved"
	}
	r.hooks.Progress(p)
	return nil
}

// progress is where the run is.
func (r *run) progress() Progress {
	tokens, queries, steps := r.pace.speed()
	p := Progress{
		Step: r.state.Step, Steps: r.schedule.steps, Epoch: r.calendar.passed(r.state.Next), Epochs: r.options.NumTrainEpochs,
		TokensPerSecond: tokens, QueriesPerSecond: queries, Elapsed: time.Since(r.start),
	}
	if r.options.MaxSteps > 0 {
		p.Epochs = p.Epoch * float64(p.Steps) / float64(max(1, p.Step))
	}
	if steps > 0 {
		p.Left = time.Duration(float64(p.Steps-p.Step) / steps * float64(time.Second))
	}
	return p
}

// note tells the caller of something that is no step.
func (r *run) note(text string) {
	p := r.progress()
	p.Note = text
	r.hooks.Progress(p)
}
