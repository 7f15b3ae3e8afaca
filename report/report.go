// Package report draws one page of what is known of models: how they came about, what they score, how
// fast and how large they are, and what was measured on the way. It is given plain figures and knows
// nothing of where they are read from.
//
// The page is a single HTML file without scripts that asks for nothing on the network. Its plots are
// SVG in the page and, by the same code, PNG files.
package report

// Page is what a report shows. A part of which there is nothing is left out of the page.
type Page struct {
	Title    string     `json:"title"`
	Tool     string     `json:"tool"`             // name and version of the program that writes the page
	Models   []Model    `json:"models,omitempty"` // each after the one that it was made from
	Scores   []Score    `json:"scores,omitempty"`
	Speeds   []Speed    `json:"speeds,omitempty"`
	Blocks   []Blocks   `json:"blocks,omitempty"`
	Weights  []Weights  `json:"weights,omitempty"`
	Training []Training `json:"training,omitempty"`
}

// Model is one model, or one variant of a model.
type Model struct {
	Name       string `json:"name"`             // one of its own on this page
	Parent     string `json:"parent,omitempty"` // name of the model that it was made from, "" where that is not on the page
	Path       string `json:"path,omitempty"`
	Steps      []Step `json:"steps,omitempty"`      // that made it; those that made its parent are not repeated
	Bytes      int64  `json:"bytes,omitempty"`      // of its weights' files, 0 where they are not known
	Layers     int    `json:"layers,omitempty"`     // transformer blocks, 0 where none are recognized
	Parameters int64  `json:"parameters,omitempty"` // numbers in its weights
	Precision  string `json:"precision,omitempty"`  // element types that hold them, the most first
}

// Step is one command in a model's history.
type Step struct {
	Command  string    `json:"command"`
	Settings []Setting `json:"settings,omitempty"` // what it was told
	Changes  []Setting `json:"changes,omitempty"`  // what it measured
}

// Setting is a name and a value to be shown.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Score is what a model scores on a task.
type Score struct {
	Model     string  `json:"model"` // the name of a Model, or one that has only scores
	Provider  string  `json:"provider,omitempty"`
	Precision string  `json:"precision,omitempty"` // that it was computed in
	Task      string  `json:"task"`
	Metric    string  `json:"metric"` // the task's main one, such as ndcg_at_10
	Value     float64 `json:"value"`
	Others    []Other `json:"others,omitempty"`
	// Difference is that to Against, nil for the first and where there are no values per query.
	Difference *Difference `json:"difference,omitempty"`
}

// Other is a further metric of a score.
type Other struct {
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
}

// Difference compares a score with another model's on the same queries.
type Difference struct {
	Against string  `json:"against"`
	Value   float64 `json:"value"`
	Low     float64 `json:"low"` // 95% confidence interval
	High    float64 `json:"high"`
	Queries int     `json:"queries"`
	Better  int     `json:"better"` // queries
	Worse   int     `json:"worse"`
}

// Speed is one row of a benchmark.
type Speed struct {
	Model     string  `json:"model,omitempty"` // the name of a Model; "" for programs of others
	Name      string  `json:"name"`            // in the benchmark
	Provider  string  `json:"provider,omitempty"`
	Precision string  `json:"precision,omitempty"`
	Rate      float64 `json:"docs_per_second"` // median of the rounds
	Slowest   float64 `json:"slowest"`
	Fastest   float64 `json:"fastest"`
	Ratio     float64 `json:"ratio"` // to the first row of the same benchmark
	Load      float64 `json:"load_seconds"`
	Peak      int64   `json:"peak_bytes,omitempty"` // memory
	Latency   float64 `json:"latency_seconds,omitempty"`
}

// Blocks is the importance of a model's transformer blocks, as measured before some went.
type Blocks struct {
	Model     string  `json:"model"` // the one that is left
	Criterion string  `json:"criterion"`
	Blocks    []Block `json:"blocks"`
}

// Block is a transformer block and its importance.
type Block struct {
	Index int     `json:"index"` // from 0
	Name  string  `json:"name,omitempty"`
	Score float64 `json:"score"`
	Kept  bool    `json:"kept"`
}

// Weights is what quantizing did to a model's weights.
type Weights struct {
	Model   string   `json:"model"` // the quantized one
	Scheme  string   `json:"scheme"`
	Weights []Weight `json:"weights"` // in the graph's order; those that stayed as they were are left out
}

// Weight is a quantized weight.
type Weight struct {
	Name   string  `json:"name"`
	Form   string  `json:"form,omitempty"` // how it is stored
	Error  float64 `json:"error"`          // |w - w'| / |w|, in Frobenius norms
	Before int64   `json:"bytes_before,omitempty"`
	After  int64   `json:"bytes_after,omitempty"`
}

// Training is a run's log.
type Training struct {
	Name        string       `json:"name"`
	Steps       []TrainStep  `json:"steps"`
	Evaluations []Evaluation `json:"evaluations,omitempty"`
}

// TrainStep is one step of a run.
type TrainStep struct {
	Step         int     `json:"step"` // from 1
	Loss         float64 `json:"loss"`
	LearningRate float64 `json:"learning_rate"`
}

// Evaluation is what the model in training scored.
type Evaluation struct {
	Step    int                `json:"step"` // after this many
	Metrics map[string]float64 `json:"metrics"`
}
