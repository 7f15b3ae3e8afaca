package train

import (
	"context"
	"time"

	"graft/graph"
	"graft/runtime/tokenizer"
	"graft/train/dataset"
)

// Options is what a training run can be told. The names are those of the command's flags, and the defaults of
// DefaultOptions those of the reference (PaddleNLP's contrastive_training example) unless a comment says otherwise.
type Options struct {
	// Files.
	ModelNameOrPath    string   // as the user named the model; for the log and the card
	OutputDir          string   // the model directory to write; checkpoints, logs and the card are in it too
	TrainData          []string // jsonl files, or folders of them; .gz is read. For a teacher's vectors also .txt
	OverwriteOutputDir bool     // begin anew in a directory that holds something, forgetting its checkpoints
	CacheDir           string   // where token ids and a teacher's vectors are kept between runs; "": until a run has ended

	// What is trained.
	FineTuneType          string  // sft, lora or bitfit
	LoraRank              int     // r of the adapters
	LoraAlpha             float64 // their scale is alpha/r
	LoraDropout           float64
	LoraTargets           string  // regular expression of the layers' names that get adapters; "": the architecture's preset
	SentencePoolingMethod string  // cls, mean or last; read by whoever opens the model
	Normalized            bool    // embeddings have length 1; without it the temperature is 1, as in the reference
	Dropout               float64 // replaces the probabilities in the model's config; negative: as the config says

	// Data.
	TrainGroupSize            int // passages per query: one positive, the others negatives
	MaxExampleNumPerDataset   int // rows taken of each file
	QueryMaxLen               int // tokens, special ones included
	PassageMaxLen             int
	QueryInstruction          string // --query-instruction-for-retrieval: put before each query
	PassageInstruction        string // --passage-instruction-for-retrieval
	QuerySuffix               string // put behind each query, as the template or the model has it; it stays where the query is cut
	PassageSuffix             string // the same of passages
	Padding                   string // longest: to the longest text of a sub-batch; max_length: as the reference pads
	GroupByLength             bool   // batches of texts of like length
	SameDatasetWithinBatch    bool   // each batch is drawn from one file
	NoDuplicates              bool   // no text occurs twice in a batch
	DataloaderShuffle         bool
	DataloaderDropLast        bool // leave out the last, smaller batch of an epoch
	PerDeviceTrainBatchSize   int  // queries per batch
	GradientAccumulationSteps int  // batches per step of the optimizer; does not add negatives
	GradCacheChunk            int  // queries per chunk of GradCache; 0: off
	EncodeOnce                bool // equal texts of a batch run once, and share one dropout
	BatchTokens               int  // padded tokens that run at a time, of a batch's texts sorted by length; 0: all at once

	// Objective.
	Objective             string // all-passages, in-batch or own-group; "": what UseInbatchNeg says
	UseInbatchNeg         bool   // the reference's switch: true is in-batch with margin, false all-passages
	Temperature           float64
	Margin                float64 // subtracted from the positive's similarity; acts in-batch only
	NegativesCrossDevice  bool
	UseMatryoshka         bool
	MatryoshkaDims        []int
	MatryoshkaLossWeights []float64
	MatryoshkaFullDim     bool    // train the model's full width too where MatryoshkaDims lacks it
	Teacher               string  // the model that is learned from, as the user named it; Hooks.Teacher is that model
	Distill               string  // "", embedding or score: learn from the teacher's vectors; kl or margin-mse: from scores
	DistillWeight         float64 // of the distillation loss beside InfoNCE, kl only
	MaskFalseNegatives    bool    // passages equal to a known positive of the query are never its negatives

	// Length and rate.
	NumTrainEpochs  float64
	MaxSteps        int // steps of the optimizer; 0 or less: what the epochs say
	LearningRate    float64
	WeightDecay     float64
	AdamBeta1       float64
	AdamBeta2       float64
	AdamEpsilon     float64
	MaxGradNorm     float64 // 0: gradients are not clipped
	LRSchedulerType string  // linear, cosine or constant
	WarmupSteps     int
	WarmupRatio     float64 // of all steps; used where WarmupSteps is 0
	Seed            int64

	// Arithmetic.
	BF16         bool   // bfloat16 autocast; weights, optimizer and loss stay float32
	FP16         bool   // float16 autocast with loss scaling; CUDA only
	FP16OptLevel string // O0 switches BF16 and FP16 off; O1 and O2 are the same here
	// auto, highest or high: how float32 matrices are multiplied, see torch.SetFloat32MatmulPrecision
	Float32MatmulPrecision string
	FrozenDType            string // fp32 or bf16: how matrices that do not train are kept
	Recompute              bool   // compute each block's activations again in the backward pass
	Device                 string // auto, cpu, cuda or cuda:N
	Threads                int    // 0: libtorch's choice
	Parity                 bool   // the reference's arithmetic to the letter: see settle (adapt.go)

	// Log, checkpoints, evaluation.
	LoggingSteps          int      // steps between reports; train_log.jsonl has every step
	SaveSteps             int      // 0: only at the end
	SaveTotalLimit        int      // checkpoints kept, and the best one; 0: all
	ResumeFromCheckpoint  string   // auto: the newest in OutputDir if there is one; none; or a checkpoint's folder
	EvalTasks             []string // read by whoever gives Hooks.Evaluate
	EvalData              string
	EvalSteps             int    // evaluate every so many steps; 0: before the first and after the last only
	MetricForBestModel    string // key of Hooks.Evaluate's result; greater is better
	LoadBestModelAtEnd    bool   // the result is the best checkpoint, not the last weights
	EarlyStoppingPatience int    // evaluations without a better one after which training stops; 0: never

	Version string // of the tool, for the card and to tell whether a run goes on under the same one

	// Accepted and without meaning here: attention is always fused, and one process holds the whole model.
	UseFlashAttention bool
	Sharding          string
}

// DefaultOptions are the reference's defaults; what it does not have is off, except for what makes training faster
// without changing its result, and the masking of false negatives.
func DefaultOptions() Options {
	return Options{
		FineTuneType: "sft", LoraRank: 32, LoraAlpha: 64, LoraDropout: 0.1,
		SentencePoolingMethod: "mean", Normalized: true, Dropout: -1,

		TrainGroupSize: 8, MaxExampleNumPerDataset: 100_000_000, QueryMaxLen: 32, PassageMaxLen: 512,
		Padding: "longest", DataloaderShuffle: true,
		PerDeviceTrainBatchSize: 8, GradientAccumulationSteps: 1, EncodeOnce: true, BatchTokens: 4096,

		Temperature: 0.02, Margin: 0.2,
		MatryoshkaDims: []int{64, 128, 256, 512, 768}, MatryoshkaLossWeights: []float64{1, 1, 1, 1, 1},
		MatryoshkaFullDim: true, DistillWeight: 1, MaskFalseNegatives: true,

		NumTrainEpochs: 1, LearningRate: 5e-5, AdamBeta1: 0.9, AdamBeta2: 0.999, AdamEpsilon: 1e-8, MaxGradNorm: 1,
		LRSchedulerType: "linear", Seed: 42,

		FP16OptLevel: "O1", FrozenDType: "fp32", Float32MatmulPrecision: "auto", Device: "auto",

		LoggingSteps: 500, SaveSteps: 500, ResumeFromCheckpoint: "auto", MetricForBestModel: "main_score",
	}
}

// Model is what is trained.
type Model struct {
	// Graph takes input_ids, attention_mask and, where it uses them, token_type_ids and pooling_mask, int64 [batch, sequence], and gives
	// sentence_embedding [batch, Dim], not normalized. It is in the raised form, and is not modified.
	Graph     *graph.Model
	Tokenizer *tokenizer.Tokenizer
	LowerCase bool // texts are lowered before they are tokenized
	// TokenizerHash changes with whatever changes the ids of a text; it is part of the key of the token cache.
	TokenizerHash string
	Name          string // for the card: as the user named it
	Arch          string // the architecture's name; "": not known
	Hash          string // of graph and weights, as convert.Model.Hash gives it; a run is resumed on the same model only
	MaxLength     int    // the most tokens that the graph takes (its positions); 0: no limit known
	LoraTargets   string // the architecture's preset of Options.LoraTargets; "": every linear layer
	Dim           int    // features of sentence_embedding
	// Unpooled is, of a model with an input pooling_mask, how many tokens from a text's first on that input leaves out
	// of the pooling for a prompt before the text. Nil: the model has no such input.
	Unpooled func(prompt string) (int, error)
}

// Hooks is what the loop asks of its caller. SaveModel is needed; Progress and Warn may be nil, and Evaluate is where
// nothing is evaluated.
type Hooks struct {
	// SaveModel writes a model directory that has these weights in place of the graph's initializers of the same
	// names; under lora they are the adapters' tensors. Their data is read from the program: it is there during the
	// call alone. dir exists and is empty.
	SaveModel func(ctx context.Context, dir string, weights []*graph.Tensor) error
	// Evaluate measures the model as it is. Its result holds Options.MetricForBestModel.
	Evaluate func(ctx context.Context, e Encoder) (map[string]float64, error)
	// Teacher is needed where Options.Teacher names one.
	Teacher  *Teacher
	Progress func(Progress)
	Warn     func(string) // what a user should know, one sentence
}

// Teacher is a model that is learned from.
type Teacher struct {
	Hash          string // of the model and of all else that changes its vectors
	Dim           int    // features of a vector
	QueryPrompt   string // put before every query that has no prompt of its own
	PassagePrompt string
	// Open starts it. It is called only where its vectors are not on the disk, and closed when they are.
	Open func(ctx context.Context) (dataset.Teacher, error)
}

// Encoder turns texts into vectors with the weights as they are, without dropout.
type Encoder interface {
	// Dim is the length of a vector.
	Dim() int
	// Encode returns one vector per text, in order, row-major [len(texts), Dim()]; query says which instruction and
	// maximum length hold. done, if not nil, is told how many more texts are finished. One call runs at a time, on
	// whatever goroutine, and only while Hooks.Evaluate does.
	Encode(ctx context.Context, texts []string, query bool, done func(n int)) ([]float32, error)
}

// Progress is the state of a run after a step.
type Progress struct {
	Step, Steps  int     // steps of the optimizer done, and in all
	Epoch        float64 // passed through the data
	Epochs       float64
	Loss         float64 // of this step
	GradNorm     float64 // before clipping
	LearningRate float64

	TokensPerSecond  float64 // real tokens, over the last steps
	QueriesPerSecond float64
	Elapsed, Left    time.Duration // Left is an estimate; 0: not known yet

	Resident     int64 // memory of the process in bytes
	PeakResident int64
	DeviceMemory int64 // allocated on the accelerator; 0 on the CPU

	Log  bool   // LoggingSteps says that this step is reported
	Note string // what happened besides: a checkpoint, an evaluation; mostly ""
}

// Evaluation is one call of Hooks.Evaluate.
type Evaluation struct {
	Step    int                `json:"step"` // after this many steps
	Epoch   float64            `json:"epoch"`
	Metrics map[string]float64 `json:"metrics"`
}

// Result is what a run did.
type Result struct {
	Objective   string // in one sentence
	Rows        int    // of training data
	Trainable   int64  // parameters that train
	Parameters  int64  // in all
	Steps       int
	Epochs      float64
	FirstLoss   float64
	LastLoss    float64
	MeanLoss    float64 // over the last tenth of the steps
	Evaluations []Evaluation
	BestStep    int     // of the best evaluation
	Best        float64 // its metric
	Stopped     string  // why it ended before its last step; "": it did not
	ResumedFrom string  // the checkpoint's folder; "": the run began anew
	Elapsed     time.Duration
}
