package train

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// FlagError says that an option cannot be, alone or with another; Flag is the command's name of it.
type FlagError struct{ Flag, Problem string }

// Error returns the flag and what is wrong with it.
func (e *FlagError) Error() string { return fmt.Sprintf("--%s: %s", e.Flag, e.Problem) }

// MismatchError says that a checkpoint was made by another run than this one. Differences are what is not as it was, each
// "name: was a, is b".
type MismatchError struct{ Differences []string }

// Error lists the differences.
func (e *MismatchError) Error() string {
	return "it is of another run: " + strings.Join(e.Differences, "; ")
}

// check is a condition that options must not meet.
type check struct {
	bad     bool
	flag    string
	problem string
}

// Validate returns a *FlagError for the first option that is wrong whatever the model and the data are.
func (o Options) Validate() error {
	for _, table := range [][]check{o.checkNames(), o.checkNumbers(), o.checkTogether()} {
		for _, c := range table {
			if c.bad {
				return &FlagError{c.flag, c.problem}
			}
		}
	}
	return nil
}

// unknown is the check that a value is one of the choices.
func unknown(flag, value string, choices ...string) check {
	return check{!slices.Contains(choices, value), flag, fmt.Sprintf("%q is not one of %s", value, strings.Trim(strings.Join(choices, ", "), ", "))}
}

func (o Options) checkNames() []check {
	_, targets := regexp.Compile(o.LoraTargets)
	return []check{
		{o.OutputDir == "", "output-dir", "is missing"},
		{len(o.TrainData) == 0 || slices.Contains(o.TrainData, ""), "train-data", "is missing"},
		unknown("fine-tune-type", o.FineTuneType, "sft", "lora", "bitfit"),
		unknown("padding", o.Padding, "longest", "max_length"),
		unknown("objective", o.Objective, "", "all-passages", "in-batch", "own-group"),
		unknown("distill", o.Distill, "", "kl", "margin-mse", "embedding", "score"),
		unknown("lr-scheduler-type", o.LRSchedulerType, "linear", "cosine", "constant"),
		unknown("fp16-opt-level", o.FP16OptLevel, "O0", "O1", "O2"),
		unknown("frozen-dtype", o.FrozenDType, "fp32", "bf16"),
		unknown("float32-matmul-precision", o.Float32MatmulPrecision, "auto", "highest", "high"),
		{targets != nil, "lora-targets", fmt.Sprintf("%q is not a regular expression: %v", o.LoraTargets, targets)},
		{o.ResumeFromCheckpoint == "", "resume-from-checkpoint", "is empty; auto, none or a checkpoint's folder"},
	}
}

func (o Options) checkNumbers() []check {
	positive := func(flag string, v int) check { return check{v < 1, flag, fmt.Sprintf("%d is less than 1", v)} }
	natural := func(flag string, v int) check { return check{v < 0, flag, fmt.Sprintf("%d is negative", v)} }
	real := func(flag string, v, least, most float64) check {
		return check{!(v >= least && v <= most) || math.IsInf(v, 0), flag, fmt.Sprintf("%v is not between %v and %v", v, least, most)}
	}
	inf := math.Inf(1)
	list := []check{
		positive("train-group-size", o.TrainGroupSize),
		positive("max-example-num-per-dataset", o.MaxExampleNumPerDataset),
		positive("query-max-len", o.QueryMaxLen),
		positive("passage-max-len", o.PassageMaxLen),
		positive("per-device-train-batch-size", o.PerDeviceTrainBatchSize),
		positive("gradient-accumulation-steps", o.GradientAccumulationSteps),
		natural("grad-cache-chunk", o.GradCacheChunk),
		natural("batch-tokens", o.BatchTokens),
		natural("warmup-steps", o.WarmupSteps),
		natural("logging-steps", o.LoggingSteps),
		natural("save-steps", o.SaveSteps),
		natural("save-total-limit", o.SaveTotalLimit),
		natural("eval-steps", o.EvalSteps),
		natural("early-stopping-patience", o.EarlyStoppingPatience),
		natural("threads", o.Threads),
		real("learning-rate", o.LearningRate, 0, inf),
		real("weight-decay", o.WeightDecay, 0, inf),
		real("max-grad-norm", o.MaxGradNorm, 0, inf),
		real("margin", o.Margin, 0, inf),
		real("distill-weight", o.DistillWeight, 0, inf),
		real("warmup-ratio", o.WarmupRatio, 0, 1),
		real("num-train-epochs", o.NumTrainEpochs, 0, 1e6),
		{!(o.Temperature > 0) || math.IsInf(o.Temperature, 0), "temperature", fmt.Sprintf("%v is not a positive number", o.Temperature)},
		{!(o.AdamEpsilon > 0) || math.IsInf(o.AdamEpsilon, 0), "adam-epsilon", fmt.Sprintf("%v is not a positive number", o.AdamEpsilon)},
		{!(o.AdamBeta1 >= 0 && o.AdamBeta1 < 1), "adam-beta1", fmt.Sprintf("%v is not in [0, 1)", o.AdamBeta1)},
		{!(o.AdamBeta2 >= 0 && o.AdamBeta2 < 1), "adam-beta2", fmt.Sprintf("%v is not in [0, 1)", o.AdamBeta2)},
		{o.Dropout >= 1 || math.IsNaN(o.Dropout), "dropout", fmt.Sprintf("%v is not less than 1", o.Dropout)},
		{o.NumTrainEpochs == 0 && o.MaxSteps <= 0, "num-train-epochs", "0 epochs and no --max-steps: nothing to train"},
	}
	if o.FineTuneType == "lora" {
		list = append(list, positive("lora-rank", o.LoraRank),
			check{!(o.LoraAlpha > 0) || math.IsInf(o.LoraAlpha, 0), "lora-alpha", fmt.Sprintf("%v is not a positive number", o.LoraAlpha)},
			check{!(o.LoraDropout >= 0 && o.LoraDropout < 1), "lora-dropout", fmt.Sprintf("%v is not in [0, 1)", o.LoraDropout)})
	}
	return list
}

// objectiveName is the name of the objective, whichever flag chose it.
func (o Options) objectiveName() string {
	switch {
	case o.Objective != "":
		return o.Objective
	case o.UseInbatchNeg:
		return "in-batch"
	}
	return "all-passages"
}

// fromVectors says that the run learns from a teacher's vectors, in the objective's place.
func (o Options) fromVectors() bool { return o.Distill == "embedding" || o.Distill == "score" }

func (o Options) checkTogether() []check {
	dims, weights := o.MatryoshkaDims, o.MatryoshkaLossWeights
	fromScores := o.Distill != "" && !o.fromVectors()
	list := []check{
		{o.BF16 && o.FP16, "fp16", "cannot be together with --bf16"},
		{o.FrozenDType != "fp32" && o.FP16, "frozen-dtype", o.FrozenDType + " cannot be together with --fp16"},
		{o.FrozenDType != "fp32" && o.FineTuneType == "sft", "frozen-dtype", "nothing is frozen: --fine-tune-type sft trains all weights"},
		{o.UseInbatchNeg && o.Objective != "" && o.Objective != "in-batch", "use-inbatch-neg", fmt.Sprintf("contradicts --objective %s", o.Objective)},
		{o.fromVectors() && o.Teacher == "", "distill", o.Distill + " learns from a model's vectors: --teacher is missing"},
		{o.Teacher != "" && o.Distill == "", "teacher", "nothing is learned from it without --distill"},
		{fromScores && o.objectiveName() == "in-batch", "distill", "needs the hard negatives that the objective in-batch leaves out"},
		{fromScores && o.TrainGroupSize < 2, "distill", "needs --train-group-size of at least 2"},
	}
	if err := o.candidates(); err != "" {
		list = append(list, check{true, "train-group-size", err})
	}
	if o.UseMatryoshka {
		list = append(list,
			check{len(dims) == 0, "matryoshka-dims", "is empty"},
			check{slices.ContainsFunc(dims, func(d int) bool { return d < 1 }), "matryoshka-dims", fmt.Sprintf("%v: widths are positive", dims)},
			check{len(slices.Compact(slices.Sorted(slices.Values(dims)))) != len(dims), "matryoshka-dims", fmt.Sprintf("%v: a width occurs twice", dims)},
			check{len(weights) != len(dims), "matryoshka-loss-weights", fmt.Sprintf("%d weights for %d widths", len(weights), len(dims))},
			check{slices.ContainsFunc(weights, func(w float64) bool { return !(w > 0) || math.IsInf(w, 0) }), "matryoshka-loss-weights", fmt.Sprintf("%v: weights are positive numbers", weights)})
	}
	return list
}

// candidates says why a query would have fewer than two passages to choose from, where the softmax's loss is 0; "" if it
// has more.
func (o Options) candidates() string {
	b, g := o.PerDeviceTrainBatchSize, o.TrainGroupSize
	switch name := o.objectiveName(); {
	case o.Distill == "score" && b*g < 3:
		return "fewer than three passages a batch: a text has none to choose from, and the loss is always 0; raise --per-device-train-batch-size"
	case o.fromVectors():
		return ""
	case name == "all-passages" && b*g < 2:
		return "one query and one passage a batch: a query has no negative, and the loss is always 0"
	case name == "in-batch" && b < 2:
		return "the objective in-batch with one query a batch: it has no negative, and the loss is always 0; raise --per-device-train-batch-size"
	case name == "own-group" && g < 2:
		return "the objective own-group with one passage a query: it has no negative, and the loss is always 0"
	}
	return ""
}
