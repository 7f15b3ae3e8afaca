package main

import (
	"github.com/urfave/cli/v2"
)

// flags are train's, in the order in which help lists them. Each of the reference's has its name, with hyphens.
func (o *trainOptions) flags() []cli.Flag {
	var all []cli.Flag
	for _, group := range []func() []cli.Flag{o.modelFlags, o.dataFlags, o.objectiveFlags, o.optimizerFlags, o.machineFlags, o.loopFlags} {
		all = append(all, group()...)
	}
	return append(append(all, o.preset.flags()...), jsonFlag(&o.json))
}

// modelFlags say what is trained, and what becomes of it.
func (o *trainOptions) modelFlags() []cli.Flag {
	t := &o.train
	return []cli.Flag{
		&cli.StringFlag{Name: "model-name-or-path", Destination: &o.model, Usage: "the MODEL, as a flag"},
		&cli.StringFlag{Name: "output-dir", Aliases: []string{"o", "output"}, Destination: &t.OutputDir, Usage: "model `DIR` to make; checkpoints, logs and the model card are in it too"},
		&cli.BoolFlag{Name: "overwrite-output-dir", Aliases: []string{"overwrite"}, Destination: &t.OverwriteOutputDir, Usage: "begin anew in a directory that holds something, forgetting its checkpoints"},
		&cli.StringFlag{Name: "fine-tune-type", Value: t.FineTuneType, Destination: &t.FineTuneType, Usage: "sft (all weights), lora or bitfit (biases only)"},
		&cli.IntFlag{Name: "lora-rank", Value: t.LoraRank, Destination: &t.LoraRank, Usage: "rank of the adapters"},
		&cli.Float64Flag{Name: "lora-alpha", Value: t.LoraAlpha, Destination: &t.LoraAlpha, Usage: "adapters are scaled by alpha/rank"},
		&cli.Float64Flag{Name: "lora-dropout", Value: t.LoraDropout, Destination: &t.LoraDropout, Usage: "dropout before the adapters"},
		&cli.StringFlag{Name: "lora-targets", Destination: &t.LoraTargets, Usage: "`REGEX` of the layers that get adapters (default: the architecture's linear layers)"},
		&cli.StringFlag{Name: "sentence-pooling-method", Aliases: []string{"pooling", "pooling-method"}, Destination: &o.open.Pooling, Usage: "how tokens become one vector: " + poolingNames() + " (default: as the model says, else mean)"},
		&cli.BoolFlag{Name: "normalized", Aliases: []string{"normalize"}, Value: t.Normalized, Destination: &t.Normalized, Usage: "compare vectors of length 1"},
		&cli.Float64Flag{Name: "dropout", Value: t.Dropout, Destination: &t.Dropout, Usage: "replaces the probabilities in the model's config; negative: as it says"},
		&cli.StringFlag{Name: "tokenizer", Destination: &o.open.Tokenizer, Usage: "tokenizer.json `FILE`, where it is not beside the model"},
		&cli.BoolFlag{Name: "bidirectional", Destination: &o.open.Bidirectional, Usage: "let a decoder's tokens attend to those behind them"},
	}
}

// dataFlags say what it learns from, and in which batches.
func (o *trainOptions) dataFlags() []cli.Flag {
	t := &o.train
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "train-data", Destination: &o.data, Usage: "`FILE` of jsonl rows {\"query\", \"pos\": […], \"neg\": […]}, or a folder of them; .gz is read. With --teacher also texts: rows {\"text\"}, or lines of a .txt file"},
		&cli.IntFlag{Name: "max-example-num-per-dataset", Value: t.MaxExampleNumPerDataset, Destination: &t.MaxExampleNumPerDataset, Usage: "rows taken of each file"},
		&cli.IntFlag{Name: "train-group-size", Value: t.TrainGroupSize, Destination: &t.TrainGroupSize, Usage: "passages per query: one positive, the others negatives"},
		&cli.IntFlag{Name: "per-device-train-batch-size", Aliases: []string{"batch-size"}, Value: t.PerDeviceTrainBatchSize, Destination: &t.PerDeviceTrainBatchSize, Usage: "queries per batch"},
		&cli.IntFlag{Name: "gradient-accumulation-steps", Value: t.GradientAccumulationSteps, Destination: &t.GradientAccumulationSteps, Usage: "batches per step; more of them do not add negatives"},
		&cli.IntFlag{Name: "grad-cache-chunk", Value: t.GradCacheChunk, Destination: &t.GradCacheChunk, Usage: "queries per chunk of GradCache, which bounds memory whatever the batch; 0: off"},
		&cli.IntFlag{Name: "query-max-len", Aliases: []string{"query-max-length"}, Value: t.QueryMaxLen, Destination: &t.QueryMaxLen, Usage: "most tokens of a query"},
		&cli.IntFlag{Name: "passage-max-len", Aliases: []string{"passage-max-length", "document-max-length"}, Value: t.PassageMaxLen, Destination: &t.PassageMaxLen, Usage: "most tokens of a passage"},
		&cli.GenericFlag{Name: "query-instruction-for-retrieval", Aliases: []string{"query-instruction", "query-prompt"}, Value: &optionalString{&o.queryPrompt}, Usage: "`TEXT` before each query (default: the model's own)"},
		&cli.GenericFlag{Name: "passage-instruction-for-retrieval", Aliases: []string{"passage-instruction", "document-prompt"}, Value: &optionalString{&o.documentPrompt}, Usage: "`TEXT` before each passage (default: the model's own)"},
		&cli.StringFlag{Name: "padding", Value: t.Padding, Destination: &t.Padding, Usage: "longest (text of what runs together) or max_length"},
		&cli.BoolFlag{Name: "encode-once", Value: t.EncodeOnce, Destination: &t.EncodeOnce, Usage: "texts that occur several times in a batch run once"},
		&cli.IntFlag{Name: "batch-tokens", Value: t.BatchTokens, Destination: &t.BatchTokens, Usage: "padded tokens that run together of a batch sorted by length; 0: all at once"},
		&cli.BoolFlag{Name: "group-by-length", Destination: &t.GroupByLength, Usage: "batches of texts of like length"},
		&cli.BoolFlag{Name: "same-dataset-within-batch", Destination: &t.SameDatasetWithinBatch, Usage: "each batch from one file"},
		&cli.BoolFlag{Name: "no-duplicates", Destination: &t.NoDuplicates, Usage: "no text twice in a batch"},
		&cli.BoolFlag{Name: "dataloader-shuffle", Value: t.DataloaderShuffle, Destination: &t.DataloaderShuffle, Usage: "a new order in each epoch"},
		&cli.BoolFlag{Name: "dataloader-drop-last", Destination: &t.DataloaderDropLast, Usage: "leave out the last, smaller batch of an epoch"},
		&cli.StringFlag{Name: "cache-dir", Destination: &t.CacheDir, Usage: "`DIR` that keeps token ids, and a teacher's vectors, between runs (default: a temporary one)"},
	}
}

// objectiveFlags say what is minimized.
func (o *trainOptions) objectiveFlags() []cli.Flag {
	t := &o.train
	return []cli.Flag{
		&cli.StringFlag{Name: "objective", Value: t.Objective, Destination: &t.Objective, Usage: "what a query's positive is told from: all-passages of the batch, in-batch positives only, or its own-group (default: as --use-inbatch-neg says)"},
		&cli.BoolFlag{Name: "use-inbatch-neg", Destination: &t.UseInbatchNeg, Usage: "the reference's switch: true is in-batch with --margin, false all-passages"},
		&cli.Float64Flag{Name: "temperature", Value: t.Temperature, Destination: &t.Temperature, Usage: "similarities are divided by it; 1 without --normalized"},
		&cli.Float64Flag{Name: "margin", Value: t.Margin, Destination: &t.Margin, Usage: "taken from the positive's similarity, in-batch only"},
		&cli.BoolFlag{Name: "mask-false-negatives", Value: t.MaskFalseNegatives, Destination: &t.MaskFalseNegatives, Usage: "never count a passage as negative that is known as the query's positive"},
		&cli.BoolFlag{Name: "negatives-cross-device", Destination: &t.NegativesCrossDevice, Usage: "negatives of all devices; of one, it changes nothing"},
		&cli.BoolFlag{Name: "use-matryoshka", Destination: &t.UseMatryoshka, Usage: "train the vector's beginnings too"},
		&cli.GenericFlag{Name: "matryoshka-dims", Value: &numbers[int]{&t.MatryoshkaDims}, Usage: "`LIST` of their lengths"},
		&cli.GenericFlag{Name: "matryoshka-loss-weights", Value: &numbers[float64]{&t.MatryoshkaLossWeights}, Usage: "`LIST` of their losses' weights"},
		&cli.BoolFlag{Name: "matryoshka-full-dim", Value: t.MatryoshkaFullDim, Destination: &t.MatryoshkaFullDim, Usage: "train the full vector too, where the list lacks it"},
		&cli.StringFlag{Name: "teacher", Destination: &t.Teacher, Usage: "`MODEL` to learn from, run through ONNX Runtime once over the texts"},
		&cli.StringFlag{Name: "teacher-pooling", Destination: &o.teacherPooling, Usage: "how the teacher's tokens become one vector (default: as it says, else mean)"},
		&cli.StringFlag{Name: "distill", Destination: &t.Distill, Usage: "learn the teacher's embedding or score (its similarities) in the loss's place; or learn from pos_scores and neg_scores, which the teacher gives where rows have none: kl (beside the loss) or margin-mse (in its place)"},
		&cli.Float64Flag{Name: "distill-weight", Value: t.DistillWeight, Destination: &t.DistillWeight, Usage: "of the distillation beside the loss, kl only"},
	}
}

// optimizerFlags say how far and how fast.
func (o *trainOptions) optimizerFlags() []cli.Flag {
	t := &o.train
	return []cli.Flag{
		&cli.Float64Flag{Name: "num-train-epochs", Value: t.NumTrainEpochs, Destination: &t.NumTrainEpochs, Usage: "passes through the data"},
		&cli.IntFlag{Name: "max-steps", Value: t.MaxSteps, Destination: &t.MaxSteps, Usage: "steps, whatever the epochs say; 0: as they say"},
		&cli.Float64Flag{Name: "learning-rate", Value: t.LearningRate, Destination: &t.LearningRate, Usage: "the highest of the schedule"},
		&cli.StringFlag{Name: "lr-scheduler-type", Value: t.LRSchedulerType, Destination: &t.LRSchedulerType, Usage: "linear or cosine (to 0), or constant"},
		&cli.IntFlag{Name: "warmup-steps", Value: t.WarmupSteps, Destination: &t.WarmupSteps, Usage: "steps in which the rate rises from 0"},
		&cli.Float64Flag{Name: "warmup-ratio", Value: t.WarmupRatio, Destination: &t.WarmupRatio, Usage: "the same as a part of all steps"},
		&cli.Float64Flag{Name: "weight-decay", Value: t.WeightDecay, Destination: &t.WeightDecay, Usage: "of weights that are neither biases nor norms"},
		&cli.Float64Flag{Name: "adam-beta1", Value: t.AdamBeta1, Destination: &t.AdamBeta1, Usage: "AdamW's"},
		&cli.Float64Flag{Name: "adam-beta2", Value: t.AdamBeta2, Destination: &t.AdamBeta2, Usage: "AdamW's"},
		&cli.Float64Flag{Name: "adam-epsilon", Value: t.AdamEpsilon, Destination: &t.AdamEpsilon, Usage: "AdamW's"},
		&cli.Float64Flag{Name: "max-grad-norm", Value: t.MaxGradNorm, Destination: &t.MaxGradNorm, Usage: "gradients longer than this are scaled to it; 0: never"},
		&cli.Int64Flag{Name: "seed", Value: t.Seed, Destination: &t.Seed, Usage: "of sampling and dropout; the same seed gives the same run"},
	}
}

// machineFlags say what it runs on, and in which arithmetic.
func (o *trainOptions) machineFlags() []cli.Flag {
	t := &o.train
	return []cli.Flag{
		&cli.StringFlag{Name: "device", Value: t.Device, Destination: &t.Device, Usage: "auto, cpu, cuda or cuda:N"},
		&cli.IntFlag{Name: "threads", Destination: &t.Threads, Usage: "threads to compute on (default: libtorch's choice)"},
		&cli.BoolFlag{Name: "bf16", Destination: &t.BF16, Usage: "compute products in bfloat16; weights and loss stay float32"},
		&cli.BoolFlag{Name: "fp16", Destination: &t.FP16, Usage: "the same in float16 with loss scaling; needs cuda"},
		&cli.StringFlag{Name: "fp16-opt-level", Value: t.FP16OptLevel, Destination: &t.FP16OptLevel, Usage: "O1 and O2 are the same here; O0 switches --bf16 and --fp16 off"},
		&cli.StringFlag{Name: "float32-matmul-precision", Value: t.Float32MatmulPrecision, Destination: &t.Float32MatmulPrecision, Usage: "highest, or high: products of float32 numbers as sums of two bfloat16 numbers on a CPU with AMX, in TensorFloat32 on CUDA; auto: high on such a CPU"},
		&cli.StringFlag{Name: "frozen-dtype", Value: t.FrozenDType, Destination: &t.FrozenDType, Usage: "fp32 or bf16: how matrices that do not train are kept, under lora and bitfit"},
		&cli.BoolFlag{Name: "recompute", Destination: &t.Recompute, Usage: "compute each block's activations a second time instead of keeping them"},
		&cli.BoolFlag{Name: "parity", Destination: &t.Parity, Usage: "the reference's arithmetic to the letter"},
		&cli.BoolFlag{Name: "use-flash-attention", Destination: &t.UseFlashAttention, Usage: "accepted: attention is always fused"},
		&cli.StringFlag{Name: "sharding", Destination: &t.Sharding, Usage: "accepted: \"stage1|stage2|stage3 [offload]\" shards over several devices"},
	}
}

// loopFlags say what is written and measured on the way.
func (o *trainOptions) loopFlags() []cli.Flag {
	t := &o.train
	return []cli.Flag{
		&cli.IntFlag{Name: "logging-steps", Value: t.LoggingSteps, Destination: &t.LoggingSteps, Usage: "steps between lines where there is no terminal; train_log.jsonl has every step"},
		&cli.IntFlag{Name: "save-steps", Value: t.SaveSteps, Destination: &t.SaveSteps, Usage: "steps between checkpoints; 0: none before the end"},
		&cli.IntFlag{Name: "save-total-limit", Value: t.SaveTotalLimit, Destination: &t.SaveTotalLimit, Usage: "newest checkpoints that are kept beside the best; 0: all"},
		&cli.StringFlag{Name: "resume-from-checkpoint", Value: t.ResumeFromCheckpoint, Destination: &t.ResumeFromCheckpoint, Usage: "auto (the newest in the output directory), none, or a checkpoint's `DIR`"},
		&cli.StringSliceFlag{Name: "eval-task", Destination: &o.evalTasks, Usage: "`NAME`,… of retrieval tasks to measure before, on the way and after, as eval does"},
		&cli.StringFlag{Name: "eval-data", Destination: &t.EvalData, Usage: "`DIR` of their data"},
		&cli.IntFlag{Name: "eval-steps", Value: t.EvalSteps, Destination: &t.EvalSteps, Usage: "steps between evaluations; 0: before and after only"},
		&cli.StringFlag{Name: "metric-for-best-model", Value: t.MetricForBestModel, Destination: &t.MetricForBestModel, Usage: "metric of the evaluation that says which checkpoint is best"},
		&cli.BoolFlag{Name: "load-best-model-at-end", Destination: &t.LoadBestModelAtEnd, Usage: "the result is the best checkpoint, not the last weights"},
		&cli.IntFlag{Name: "early-stopping-patience", Value: t.EarlyStoppingPatience, Destination: &t.EarlyStoppingPatience, Usage: "stop after so many evaluations without a better one; 0: never"},
	}
}
