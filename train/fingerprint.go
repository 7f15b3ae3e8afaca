//go:build !lite

package train

import (
	"fmt"
	"slices"
	"strings"

	"graft/train/torch"
)

// fingerprint is what a run's course depends on, as text, by name: the command's flags, "model", "training data" and
// "steps". A checkpoint keeps the one that it was made under.
type fingerprint struct {
	// Course changes what is learned: a checkpoint made under another is refused.
	Course map[string]string `json:"course"`
	// Numerics changes rounding and the draws of dropout: one may go on under another, but not bit for bit.
	Numerics map[string]string `json:"numerics"`
}

// newFingerprint takes options that are settled.
func newFingerprint(o Options, model, data, objective string, s schedule, device, libtorch string, threads int) fingerprint {
	text := func(v any) string { return fmt.Sprint(v) }
	f := fingerprint{
		Course: map[string]string{
			"model": model, "training data and tokenizer": data, "objective": objective,
			"fine-tune-type": o.FineTuneType, "sentence-pooling-method": o.SentencePoolingMethod, "normalized": text(o.Normalized), "dropout": text(max(o.Dropout, -1)),
			"train-group-size": text(o.TrainGroupSize), "max-example-num-per-dataset": text(o.MaxExampleNumPerDataset),
			"query-max-len": text(o.QueryMaxLen), "passage-max-len": text(o.PassageMaxLen),
			"query-instruction-for-retrieval": o.QueryInstruction, "passage-instruction-for-retrieval": o.PassageInstruction,
			"group-by-length": text(o.GroupByLength), "same-dataset-within-batch": text(o.SameDatasetWithinBatch),
			"no-duplicates": text(o.NoDuplicates), "dataloader-shuffle": text(o.DataloaderShuffle), "dataloader-drop-last": text(o.DataloaderDropLast),
			"per-device-train-batch-size": text(o.PerDeviceTrainBatchSize), "gradient-accumulation-steps": text(o.GradientAccumulationSteps),
			"mask-false-negatives": text(o.MaskFalseNegatives), "negatives-cross-device": text(o.NegativesCrossDevice),
			"learning-rate": text(o.LearningRate), "weight-decay": text(o.WeightDecay), "max-grad-norm": text(o.MaxGradNorm),
			"adam-beta1": text(o.AdamBeta1), "adam-beta2": text(o.AdamBeta2), "adam-epsilon": text(o.AdamEpsilon),
			"lr-scheduler-type": o.LRSchedulerType, "warm-up steps": text(s.warmup), "seed": text(o.Seed), "parity": text(o.Parity),
		},
		Numerics: map[string]string{
			"bf16": text(o.BF16), "fp16": text(o.FP16), "frozen-dtype": o.FrozenDType, "float32-matmul-precision": o.Float32MatmulPrecision, "recompute": text(o.Recompute), "padding": o.Padding,
			"batch-tokens": text(o.BatchTokens), "encode-once": text(o.EncodeOnce), "grad-cache-chunk": text(o.GradCacheChunk),
			"device": device, "threads": text(threads), "version": o.Version, "libtorch": libtorch,
		},
	}
	if torch.HasTiles() { // what auto is on one CPU it is not on another
		f.Numerics["float32-matmul-precision"] += ", AMX"
	}
	if o.QuerySuffix+o.PassageSuffix != "" {
		f.Course["suffixes"] = fmt.Sprintf("%q and %q", o.QuerySuffix, o.PassageSuffix)
	}
	if o.LRSchedulerType != "constant" {
		f.Course["steps"] = text(s.steps)
	}
	if o.FineTuneType == "lora" {
		f.Course["lora-rank"], f.Course["lora-alpha"] = text(o.LoraRank), text(o.LoraAlpha)
		f.Course["lora-dropout"], f.Course["lora-targets"] = text(o.LoraDropout), o.LoraTargets
	}
	return f
}

// differences lists what is not as it was, each "name: was a, is b".
func differences(was, is map[string]string) []string {
	names := map[string]bool{}
	for _, m := range []map[string]string{was, is} {
		for name := range m {
			names[name] = true
		}
	}
	var list []string
	for name := range names {
		a, hadIt := was[name]
		b, hasIt := is[name]
		switch {
		case !hadIt:
			list = append(list, fmt.Sprintf("%s: was not set, is %q", name, b))
		case !hasIt:
			list = append(list, fmt.Sprintf("%s: was %q, is not set", name, a))
		case a != b:
			list = append(list, fmt.Sprintf("%s: was %q, is %q", name, a, b))
		}
	}
	slices.Sort(list)
	return list
}

// check refuses a checkpoint of another course, and says in one sentence what makes the numbers differ in their last
// bits; "" where nothing does.
func (f fingerprint) check(saved fingerprint) (warning string, err error) {
	if d := differences(saved.Course, f.Course); len(d) > 0 {
		return "", &MismatchError{d}
	}
	if d := differences(saved.Numerics, f.Numerics); len(d) > 0 {
		warning = "the run goes on, but not bit for bit as it would have: " + strings.Join(d, "; ")
	}
	return warning, nil
}
