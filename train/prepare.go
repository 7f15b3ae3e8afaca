//go:build !lite

package train

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"graft/graph"
	"graft/train/dataset"
	"graft/train/torch"
)

// readData checks the data and what is to be done with it, then tokenizes.
func (r *run) readData(ctx context.Context) error {
	o := r.options
	var err error
	if r.loss, err = newObjective(o, r.model.Dim, r.hooks.Warn); err != nil {
		return err
	}
	if err := r.checkTeacher(); err != nil {
		return err
	}
	group := r.loss.Passages(o.TrainGroupSize)
	r.data, err = dataset.Open(ctx, o.TrainData, dataset.Options{
		GroupSize: group, NeedScores: o.Distill != "" && o.Teacher == "", Texts: r.loss.ReadsVectors(), MaxPerFile: o.MaxExampleNumPerDataset, Seed: o.Seed,
	})
	if err != nil {
		return fmt.Errorf("read training data: %w", r.withRemedy(err))
	}
	if err := r.refuseOwnPrompts(ctx); err != nil {
		return err
	}
	queries := min(o.PerDeviceTrainBatchSize, r.data.Len())
	if err := r.loss.Check(queries, group, 1); err != nil {
		return err
	}
	r.result.Rows, r.result.Objective = r.data.Len(), r.loss.Describe(queries, group, 1)
	r.tokens, err = r.data.Pretokenize(ctx, dataset.TokenizeOptions{
		Tokenize: r.model.tokenizes(o.QuerySuffix), TokenizePassages: r.model.tokenizes(o.PassageSuffix),
		Key:            r.model.tokenizerKey(o.QuerySuffix, o.PassageSuffix),
		QueryMaxLength: o.QueryMaxLen, PassageMaxLength: o.PassageMaxLen,
		QueryPrompt: o.QueryInstruction, PassagePrompt: o.PassageInstruction,
		CacheDir: o.CacheDir, Warn: r.hooks.Warn,
		Progress: func(done, total int) {
			r.hooks.Progress(Progress{Note: fmt.Sprintf("tokenizing: %d of %d rows", done, total)})
		},
	})
	if err != nil {
		return err
	}
	if err := r.teach(ctx); err != nil {
		return err
	}
	r.sampler, err = dataset.NewSampler(r.tokens, dataset.SamplerOptions{
		Seed: o.Seed, BatchSize: o.PerDeviceTrainBatchSize, GroupSize: group, Shuffle: o.DataloaderShuffle,
		SameSource: o.SameDatasetWithinBatch, GroupByLength: o.GroupByLength, NoDuplicates: o.NoDuplicates,
		DropLast: o.DataloaderDropLast,
	})
	if err != nil {
		return err
	}
	return r.plan()
}

// withRemedy adds to an error of the data what to ask for instead.
func (r *run) withRemedy(err error) error {
	switch {
	case errors.Is(err, dataset.ErrNoNegatives):
		return fmt.Errorf("%w; --train-group-size 1 trains on pairs alone", err)
	case !errors.Is(err, dataset.ErrAlone):
		return err
	case r.options.TrainGroupSize > 1:
		return fmt.Errorf("%w: the objective %s reads the positive alone; --objective all-passages reads the negatives too", err, r.options.objectiveName())
	}
	return fmt.Errorf("%w; --train-group-size 2 or more gives it some", err)
}

// plan counts the steps.
func (r *run) plan() error {
	o := r.options
	r.calendar = calendar{r.sampler.Batches, o.GradientAccumulationSteps}
	if r.calendar.stepsIn(0) == 0 {
		return &FlagError{"dataloader-drop-last", fmt.Sprintf("%d rows do not fill one batch of %d", r.data.Len(), o.PerDeviceTrainBatchSize)}
	}
	e, group := r.sampler.Epoch(0), r.loss.Passages(o.TrainGroupSize)
	if left := e.Rows % o.PerDeviceTrainBatchSize; e.Incomplete == 1 && left > 0 && r.loss.Check(left, group, 1) != nil {
		r.hooks.Warn("the last batch of an epoch has one query, without negatives: it trains nothing; --dataloader-drop-last leaves it out")
	}
	r.schedule = newSchedule(o, r.calendar.total(o.NumTrainEpochs, o.MaxSteps))
	if r.schedule.warmup >= r.schedule.steps {
		r.hooks.Warn(fmt.Sprintf("the warm-up of %d steps is as long as the run of %d: the learning rate never reaches %g",
			r.schedule.warmup, r.schedule.steps, o.LearningRate))
	}
	return nil
}

// compile makes the program that is trained and all that moves its weights.
func (r *run) compile(context.Context) error {
	o := r.options
	a, err := adapt(r.model, o, r.hooks.Warn)
	if err != nil {
		return err
	}
	if err := r.build(a.model, trains(o.FineTuneType, a.lora)); err != nil {
		return err
	}
	if r.params, err = chooseParameters(r.program, o); err != nil {
		return err
	}
	r.result.Trainable, r.result.Parameters = r.params.count, r.params.all
	r.adam, err = torch.NewAdamW(r.params.tensors, r.params.decay, torch.AdamWOptions{
		Beta1: o.AdamBeta1, Beta2: o.AdamBeta2, Eps: o.AdamEpsilon, WeightDecay: o.WeightDecay,
	})
	if err != nil {
		return err
	}
	if o.FP16 {
		r.scaler = newScaler()
	}
	r.encoder = newModelEncoder(&r.arithmetic.encoder, r.model, o)
	libtorch, err := torch.Version()
	if err != nil {
		return err
	}
	r.fingerprint = newFingerprint(o, r.model.Hash, r.tokens.Key(), r.result.Objective, r.schedule, r.device.String(), libtorch, torch.Threads())
	if o.Teacher != "" {
		r.fingerprint.Course["teacher"] = r.hooks.Teacher.course()
	}
	r.hooks.Progress(Progress{Steps: r.schedule.steps, Epochs: o.NumTrainEpochs, Log: true,
		Note: fmt.Sprintf("%s; %s; %d rows, %d steps", r.result.Objective, r.params, r.data.Len(), r.schedule.steps)})
	return nil
}

// build compiles a graph, and makes the arithmetic of its steps.
func (r *run) build(m *graph.Model, trainable func(name string) bool) error {
	o := r.options
	var err error
	if r.device, err = torch.ParseDevice(o.Device); err != nil {
		return &FlagError{"device", err.Error()}
	}
	if o.FP16 && r.device.Kind != torch.CUDA {
		return &FlagError{"fp16", "needs a CUDA device; --bf16 runs on the CPU too"}
	}
	torch.BoundMemory()
	if o.Threads > 0 {
		torch.SetThreads(o.Threads)
	}
	if err := torch.SetFloat32MatmulPrecision(o.Float32MatmulPrecision); err != nil {
		return err
	}
	r.program, err = torch.Compile(m, torch.CompileOptions{
		Outputs: []string{embedding}, Trainable: trainable, Device: r.device, Recompute: o.Recompute,
		FrozenDType: frozenDTypes[o.FrozenDType],
	})
	if err != nil {
		return err
	}
	var autocast torch.DType
	switch {
	case o.BF16:
		autocast = torch.BFloat16
	case o.FP16:
		autocast = torch.Float16
	}
	r.arithmetic, err = newStep(r.program, r.loss, o, r.device, autocast, r.model.Tokenizer.PadID(), nil)
	if err != nil {
		return err
	}
	return r.leaveInstructionsOut()
}

// frozenDTypes gives the values of --frozen-dtype their types.
var frozenDTypes = map[string]torch.DType{"fp32": torch.Float32, "bf16": torch.BFloat16}

// describe names the rows of a step's batches by file and line.
func (r *run) describe(batches []dataset.Batch) string {
	const most = 16
	var rows []string
	for _, b := range batches {
		for _, g := range b.Groups {
			if len(rows) == most {
				rows = append(rows, "…")
				break
			}
			place := fmt.Sprintf("row %d", g.Row+1)
			if row, err := r.data.Row(g.Row); err == nil {
				place = fmt.Sprintf("%s:%d", r.data.Sources[row.Source].Path, row.Line)
			}
			rows = append(rows, place)
		}
	}
	last := "there is no checkpoint yet"
	if r.saved >= 0 {
		last = fmt.Sprintf("the last checkpoint is %q", r.checkpoints.path(r.saved))
	}
	return fmt.Sprintf("its rows are %s; %s; a lower --learning-rate, --warmup-steps or a higher --temperature may help", strings.Join(rows, ", "), last)
}
