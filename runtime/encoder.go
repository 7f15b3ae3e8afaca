// Package runtime turns texts into vectors through ONNX Runtime.
//
// An Encoder tokenizes, sorts by length, batches by token budget, runs the graph and puts the
// vectors back in order. It chooses where the graph runs (auto.go), writes the form that the
// provider runs (prepare.go) and verifies a precision before it is trusted (precision.go).
package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"

	"graft/graph"
	"graft/runtime/ort"
	"graft/runtime/tokenizer"
)

// Model is what an Encoder runs.
type Model struct {
	ID        string // hash of what decides the vectors; verdicts about the model are kept under it
	Path      string // an ONNX file that holds Graph as it is; "" where Graph comes from a checkpoint
	Graph     *graph.Model
	Tokenizer *tokenizer.Tokenizer
	MaxLength int  // tokens of a text where none are asked for, special tokens included; 0: no limit of the model's own
	Positions int  // most tokens that the graph takes, which may be asked for; 0: MaxLength
	LowerCase bool // texts are lowered before they are tokenized
	// PromptPooling says which tokens of a prompt the graph's input pooling_mask leaves out: "prompt"
	// (it and the special tokens before it), "prompt_length" (as many as it has, from the first token on), "" (none).
	PromptPooling string
}

// Options say where and how an Encoder runs.
type Options struct {
	Provider        string            // auto, or a provider of package ort; "" is auto
	Precision       string            // fp32, bf16 or fp16; "" is fp32
	ProviderOptions map[string]string // passed on under ONNX Runtime's names
	Threads         int               // to compute on; 0: one per core
	BatchTokens     int               // padded tokens of a batch; 0: as the provider does best
	BatchSize       int               // most texts in a batch; 0: no limit
	Runs            int               // batches that run at once, sharing the threads; 0: as the provider does best
	Optimization    ort.Level         // of the graph by ONNX Runtime; "" is all
	Log             func(format string, args ...any)

	portable bool // the graph in portable operators: what compares a provider runs in the provider's library, which may be an older one
}

// padMultiple is what a batch's length is rounded up to (docs/benchmarks.md).
const padMultiple = 16

// Encoder is a model that is ready to run. Encode may be called by several goroutines.
type Encoder struct {
	Provider  string // where it runs
	Precision string
	Dim       int // of a vector

	model   Model
	options Options
	path    string // the file that runs
	config  ort.Options
	session *ort.Session
	slots   chan *slot // what one run needs; as many as runs go at once
	remove  string     // temporary folder of the graph's form for this provider
	shorter sync.Once  // says that texts are cut shorter than was asked for
}

// Open prepares m to run under o. Close frees it.
func Open(ctx context.Context, m Model, o Options) (*Encoder, error) {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.Precision == "" {
		o.Precision = "fp32"
	}
	if m.Tokenizer == nil {
		return nil, fmt.Errorf("open encoder: %w", ErrNoTokenizer)
	}
	auto := o.Provider == "" || o.Provider == Auto
	if auto {
		name, reason := Choose(m.Graph, o.Precision)
		o.Log("provider %s: %s", name, reason)
		o.Provider = name
	}
	e, err := openVerified(ctx, m, o)
	if err == nil || !auto || !o.mayFallBack(err) || ctx.Err() != nil {
		return e, err
	}
	o.Log("provider cpu: %v", err)
	o.Provider, o.ProviderOptions, o.portable = "cpu", nil, true // its library is loaded for the process
	return open(m, o)
}

// mayFallBack reports whether the CPU provider can stand in for the chosen one, which failed with err: not
// for a precision that it lacks, nor where options that the user gave may be what is wrong.
func (o Options) mayFallBack(err error) bool {
	var other *PrecisionError
	return o.Provider != "cpu" && o.Precision == "fp32" && (errors.As(err, &other) || len(o.ProviderOptions) == 0)
}

// openVerified is an Encoder whose vectors are the model's own.
func openVerified(ctx context.Context, m Model, o Options) (*Encoder, error) {
	e, err := prepared(m, o)
	if err != nil {
		return nil, err
	}
	if err := e.startVerified(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// open is Open without the check of the precision.
func open(m Model, o Options) (*Encoder, error) {
	e, err := prepared(m, o)
	if err != nil {
		return nil, err
	}
	if err := e.start(); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// prepared is an Encoder whose file is written, and that is not started.
func prepared(m Model, o Options) (*Encoder, error) {
	f, p, err := o.form()
	if err != nil {
		return nil, err
	}
	o = o.settled(f)
	e := &Encoder{Provider: o.Provider, Precision: o.Precision, model: m, options: o}
	if e.path, err = e.prepare(p); err != nil {
		e.Close()
		return nil, fmt.Errorf("open encoder: %w", err)
	}
	e.config = ort.Options{Provider: o.Provider, Precision: p.hint, Optimization: o.Optimization}
	f.share(&e.config, o)
	return e, nil
}

// start opens e's session.
func (e *Encoder) start() error {
	var err error
	if e.session, err = ort.Open(e.path, []string{sentenceEmbedding}, e.config); err == nil {
		e.Dim, err = outputDim(e.session.Info)
	}
	if err == nil {
		err = e.addSlots(e.options.Runs)
	}
	if err != nil {
		return fmt.Errorf("open encoder: %w", err)
	}
	return nil
}

// mostThreads is more than any machine computes on; that many more would take its memory before anything runs.
const mostThreads = 4096

// Check refuses a provider or a precision that there is not, and threads without end, with an OptionError.
func (o Options) Check() error {
	for name, n := range map[string]int{"threads": o.Threads, "runs": o.Runs} {
		if n > mostThreads {
			return &OptionError{fmt.Sprintf("%d %s: at most %d", n, name, mostThreads)}
		}
	}
	if o.Provider == "" || o.Provider == Auto {
		return nil
	}
	_, _, err := o.form()
	return err
}

// form is how o's provider runs a graph in o's precision.
func (o Options) form() (form, precision, error) {
	f, ok := forms[o.Provider]
	if !ok {
		return f, precision{}, &OptionError{fmt.Sprintf("unknown provider %q (known: %s, %s)", o.Provider, Auto, names(forms))}
	}
	p, ok := f.precisions[cmp.Or(o.Precision, "fp32")]
	if !ok {
		return f, p, &OptionError{fmt.Sprintf("provider %s has no precision %q (it has %s)", o.Provider, o.Precision, names(f.precisions))}
	}
	return f, p, nil
}

// settled fills in what the provider does best.
func (o Options) settled(f form) Options {
	if o.Threads <= 0 {
		o.Threads = goruntime.GOMAXPROCS(0)
	}
	if o.Runs <= 0 {
		o.Runs = 1
		if f.beside {
			o.Runs = o.Threads
		}
	}
	if o.BatchTokens <= 0 {
		o.BatchTokens = f.batchTokens
	}
	return o
}

// OptionError says that Options name a provider or a precision that does not exist.
type OptionError struct{ what string }

func (e *OptionError) Error() string { return "open encoder: " + e.what }

// names lists a table's keys.
func names[V any](table map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(table)), ", ")
}

// Names of the ONNX contract.
const (
	sentenceEmbedding = "sentence_embedding"
	inputIDs          = "input_ids"
	attentionMask     = "attention_mask"
	tokenTypeIDs      = "token_type_ids"
)

// ErrNoTokenizer is returned for a model that has no tokenizer beside it.
var ErrNoTokenizer = errors.New("the model has no tokenizer")

// outputDim is the size of a vector, which the graph states.
func outputDim(info *ort.ModelInfo) (int, error) {
	i := slices.IndexFunc(info.Outputs, func(o ort.IO) bool { return o.Name == sentenceEmbedding })
	out := info.Outputs[i]
	if len(out.Shape) != 2 || out.Shape[1] <= 0 {
		return 0, fmt.Errorf("output %q has shape %v, want [batch, dim] with a known dim", out.Name, out.Shape)
	}
	return int(out.Shape[1]), nil
}

// Placements tells where each node of the graph ran in a run that is recorded: the model is opened
// once more for it.
func (e *Encoder) Placements() ([]ort.Placement, error) {
	inputs, err := e.session.Info.DummyInputs(2, 16)
	if err != nil {
		return nil, err
	}
	return ort.Placements(e.path, e.config, inputs)
}

// Close frees the session and the temporary files.
func (e *Encoder) Close() error {
	if e.slots != nil {
		for range cap(e.slots) {
			(<-e.slots).close()
		}
		e.slots = nil
	}
	var err error
	if e.session != nil {
		err = e.session.Close()
		e.session = nil
	}
	if e.remove != "" {
		os.RemoveAll(e.remove)
		e.remove = ""
	}
	return err
}
