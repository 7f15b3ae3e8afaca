package ort

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// A Level is how far ONNX Runtime rewrites the graph before it runs it.
type Level string

// ONNX Runtime's optimization levels.
const (
	OptimizeOff      Level = "off"
	OptimizeBasic    Level = "basic"    // removal of redundant nodes, constant folding
	OptimizeExtended Level = "extended" // and fusions
	OptimizeAll      Level = "all"      // and layout; the default
)

var levels = map[Level]ort.GraphOptimizationLevel{
	OptimizeOff:      ort.GraphOptimizationLevelDisableAll,
	OptimizeBasic:    ort.GraphOptimizationLevelEnableBasic,
	OptimizeExtended: ort.GraphOptimizationLevelEnableExtended,
	OptimizeAll:      ort.GraphOptimizationLevelEnableAll,
}

// Options configure a session. The zero value is the CPU provider with ONNX
// Runtime's default threads.
type Options struct {
	Provider string // "" is "cpu"
	// Precision to compute in, one of the provider's; "" is its first.
	Precision string
	// ProviderOptions are passed to the provider under ONNX Runtime's names.
	ProviderOptions map[string]string
	// Threads used inside one operator; 0 is one per physical core.
	Threads int
	// Optimization defaults to all.
	Optimization Level
	// Spinning lets idle worker threads burn CPU for a lower latency. It slows
	// everything else in the process by up to 2 times, libtorch above all.
	Spinning bool
	// AllowFallback lets nodes that OpenVINO cannot run go to the CPU provider.
	// Without it such a model is an error. (For CUDA and TensorRT see Fallback.)
	AllowFallback bool
	// Config holds further session options under ONNX Runtime's names, such as
	// "session.disable_prepacking".
	Config map[string]string
	// OptimizedModel is a path to which the graph is written as it is run.
	OptimizedModel string
	// Verbose lets ONNX Runtime log its warnings on standard error.
	Verbose bool

	profile string // prefix of the profile's file; see Placements
}

// A Session is a model that is ready to run. Run may be called by several
// goroutines at once; Close must not run beside them.
type Session struct {
	Info     *ModelInfo
	Inputs   []string // in the order that Run takes them
	Outputs  []string // those asked for, in the order that Run takes them
	Provider Provider
	session  *ort.DynamicAdvancedSession
}

// Open reads the model file and prepares it. outputs names the outputs that
// Run computes; none is all. External data is found beside the file.
func Open(path string, outputs []string, o Options) (*Session, error) {
	info, err := ReadInfo(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	s, err := open(info, outputs, o, func(in, out []string, so *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
		return ort.NewDynamicAdvancedSession(path, in, out, so)
	})
	if err != nil {
		return nil, fmt.Errorf("open model %q: %w", path, err)
	}
	return s, nil
}

// OpenBytes is Open of a model in memory, which cannot have external data.
func OpenBytes(model []byte, outputs []string, o Options) (*Session, error) {
	info, err := ParseInfo(model)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	s, err := open(info, outputs, o, func(in, out []string, so *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
		return ort.NewDynamicAdvancedSessionWithONNXData(model, in, out, so)
	})
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	return s, nil
}

type newSession func(inputs, outputs []string, so *ort.SessionOptions) (*ort.DynamicAdvancedSession, error)

func open(info *ModelInfo, outputs []string, o Options, create newSession) (*Session, error) {
	if o.Provider == "" {
		o.Provider = "cpu"
	}
	p, err := ProviderNamed(o.Provider)
	if err != nil {
		return nil, err
	}
	if o.Precision, err = p.precision(o.Precision); err != nil {
		return nil, err
	}
	s := &Session{Info: info, Provider: p}
	for _, in := range info.Inputs {
		s.Inputs = append(s.Inputs, in.Name)
	}
	if len(s.Inputs) == 0 {
		return nil, errors.New("the graph has no inputs")
	}
	if s.Outputs, err = info.choose(outputs); err != nil {
		return nil, err
	}
	if err := p.Load(); err != nil {
		return nil, err
	}
	defer keepSignals()()
	so, err := sessionOptions(p, o)
	if err != nil {
		return nil, err
	}
	defer so.Destroy()
	s.session, err = create(s.Inputs, s.Outputs, so)
	if err != nil {
		return nil, readable(err)
	}
	return s, nil
}

// choose returns the outputs asked for, or all when none is.
func (m *ModelInfo) choose(asked []string) ([]string, error) {
	var names []string
	for _, out := range m.Outputs {
		names = append(names, out.Name)
	}
	if len(asked) == 0 {
		return names, nil
	}
	for _, name := range asked {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("the model has no output %q (it has %s)", name, strings.Join(names, ", "))
		}
	}
	return slices.Clone(asked), nil
}

// Load opens the library that p is part of, or any for the CPU provider,
// which every library has. What p lacks here is an error.
func (p Provider) Load() error {
	if p.Library == "" {
		if _, _, _, ok := Loaded(); ok {
			return nil
		}
		return Load("cpu")
	}
	if err := p.check(); err != nil {
		return err
	}
	return Load(p.Library)
}

// sessionOptions makes ONNX Runtime's options; the caller destroys them.
func sessionOptions(p Provider, o Options) (*ort.SessionOptions, error) {
	so, err := ort.NewSessionOptions()
	if err != nil {
		return nil, readable(err)
	}
	if err := configure(so, p, o); err != nil {
		so.Destroy()
		return nil, err
	}
	return so, nil
}

func configure(so *ort.SessionOptions, p Provider, o Options) error {
	if o.Optimization == "" {
		o.Optimization = OptimizeAll
	}
	level, ok := levels[o.Optimization]
	if !ok {
		return fmt.Errorf("unknown optimization level %q (known: off, basic, extended, all)", o.Optimization)
	}
	entries := map[string]string{
		"session.intra_op.allow_spinning": flag(o.Spinning),
		"session.inter_op.allow_spinning": flag(o.Spinning),
	}
	if p.whole && !o.AllowFallback {
		entries["session.disable_cpu_ep_fallback"] = "1"
	}
	maps.Copy(entries, p.config)
	maps.Copy(entries, o.Config)
	severity := ort.LoggingLevel(ort.LoggingLevelFatal)
	if o.Verbose {
		severity = ort.LoggingLevelWarning
	}
	steps := []error{
		so.SetGraphOptimizationLevel(level),
		so.SetLogSeverityLevel(severity),
	}
	if o.Threads > 0 {
		steps = append(steps, so.SetIntraOpNumThreads(o.Threads))
	}
	for k, v := range entries {
		steps = append(steps, so.AddSessionConfigEntry(k, v))
	}
	if o.OptimizedModel != "" {
		steps = append(steps, so.SetOptimizedModelFilePath(o.OptimizedModel))
	}
	if o.profile != "" {
		steps = append(steps, so.EnableProfiling(o.profile))
	}
	if err := errors.Join(steps...); err != nil {
		return readable(err)
	}
	if err := p.add(so, o); err != nil {
		return fmt.Errorf("provider %s: %w", p.Name, err)
	}
	return nil
}

func flag(on bool) string { return strconv.Itoa(map[bool]int{true: 1}[on]) }

// firstRun is done once a provider has run a model: some take Go's signal
// handlers only then.
var firstRun sync.Map // provider name → *sync.Once

// Run computes the outputs. inputs and outputs are in the order of s.Inputs
// and s.Outputs; outputs must have the shapes that the model produces. When
// ctx is done the run stops and its error is ctx's.
func (s *Session) Run(ctx context.Context, inputs, outputs []Value) error {
	if len(inputs) != len(s.Inputs) || len(outputs) != len(s.Outputs) {
		return fmt.Errorf("run: %d inputs and %d outputs given, the session has %d and %d", len(inputs), len(outputs), len(s.Inputs), len(s.Outputs))
	}
	values := make([]ort.Value, len(inputs)+len(outputs))
	for i, v := range slices.Concat(inputs, outputs) {
		values[i] = v.value()
		if values[i] == nil {
			return fmt.Errorf("run: %q has no shape yet", slices.Concat(s.Inputs, s.Outputs)[i])
		}
	}
	return s.run(ctx, values[:len(inputs)], values[len(inputs):])
}

func (s *Session) run(ctx context.Context, inputs, outputs []ort.Value) error {
	if s.session == nil {
		return errors.New("run: the session is closed")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, ran := firstRun.LoadOrStore(s.Provider.Name, true); !ran {
		defer keepSignals()()
	}
	if ctx.Done() == nil {
		return runError(s.session.Run(inputs, outputs))
	}
	opts, err := ort.NewRunOptions()
	if err != nil {
		return runError(err)
	}
	defer opts.Destroy()
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		opts.Terminate() // fails only on a nil handle
	})
	err = s.session.RunWithOptions(inputs, outputs, opts)
	if !stop() {
		<-stopped // the options must outlive the call
		if err != nil {
			return ctx.Err()
		}
	}
	return runError(err)
}

func runError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("run: %w", readable(err))
}

// Close frees the model.
func (s *Session) Close() error {
	if s.session == nil {
		return nil
	}
	defer keepSignals()()
	err := s.session.Destroy()
	s.session = nil
	return err
}
