//go:build !lite

package train

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// modelEncoder is the Encoder that evaluations get: the program that is trained, with the weights as they are.
type modelEncoder struct {
	mu        sync.Mutex
	encoder   *encoder
	model     *Model
	dim       int
	normalize bool
	tokens    int // padded, of a sub-batch
	query     side
	passage   side
}

// side is how the queries, or the passages, are read.
type side struct {
	instruction string
	suffix      string
	maxLength   int
}

// encodeWindow is the texts that are tokenized and sorted by length together.
const encodeWindow = 1024

// evaluationTokens bounds a sub-batch where the options do not.
const evaluationTokens = 8192

func newModelEncoder(e *encoder, m Model, o Options) *modelEncoder {
	tokens := o.BatchTokens
	if tokens == 0 {
		tokens = evaluationTokens
	}
	return &modelEncoder{
		encoder: e, model: &m, dim: m.Dim, normalize: o.Normalized, tokens: tokens,
		query:   side{o.QueryInstruction, o.QuerySuffix, o.QueryMaxLen},
		passage: side{o.PassageInstruction, o.PassageSuffix, o.PassageMaxLen},
	}
}

// Dim is the length of a vector.
func (e *modelEncoder) Dim() int { return e.dim }

// Encode returns one vector per text.
func (e *modelEncoder) Encode(ctx context.Context, texts []string, query bool, done func(n int)) ([]float32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.passage
	if query {
		s = e.query
	}
	out := make([]float32, 0, len(texts)*e.dim)
	for len(texts) > 0 {
		window := texts[:min(encodeWindow, len(texts))]
		texts = texts[len(window):]
		vectors, err := e.window(ctx, window, s)
		if err != nil {
			return nil, fmt.Errorf("encode: %w", err)
		}
		out = append(out, vectors...)
		if done != nil {
			done(len(window))
		}
	}
	return out, nil
}

func (e *modelEncoder) window(ctx context.Context, texts []string, s side) ([]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	prompted := make([]string, len(texts))
	for i, t := range texts {
		prompted[i] = s.instruction + t
	}
	ids, err := e.model.tokenize(ctx, prompted, s.suffix, s.maxLength)
	if err != nil {
		return nil, err
	}
	unpooled, err := e.model.unpooled(s.instruction)
	if err != nil {
		return nil, err
	}
	vectors, err := e.encoder.vectors(ids, unpooled, e.tokens)
	if err != nil {
		return nil, err
	}
	if len(vectors) != len(texts)*e.dim {
		return nil, fmt.Errorf("%d texts gave %d numbers, want vectors of %d", len(texts), len(vectors), e.dim)
	}
	if e.normalize {
		for i := range texts {
			normalize(vectors[i*e.dim : (i+1)*e.dim])
		}
	}
	return vectors, nil
}

// normalize gives a vector the length 1, as torch.nn.functional.normalize does.
func normalize(v []float32) {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	length := max(math.Sqrt(sum), 1e-12)
	for i := range v {
		v[i] = float32(float64(v[i]) / length)
	}
}

// best follows the metric that says which checkpoint is best.
type best struct {
	metric string
	step   int // of the best evaluation; -1: there was none
	value  float64
	since  int // evaluations since
}

func newBest(metric string, evaluations []Evaluation) *best {
	b := &best{metric: metric, step: -1}
	for _, e := range evaluations {
		b.add(e)
	}
	return b
}

// add counts an evaluation in and says whether it is better than all before it.
func (b *best) add(e Evaluation) bool {
	value := e.Metrics[b.metric]
	if b.step >= 0 && !(value > b.value) {
		b.since++
		return false
	}
	b.step, b.value, b.since = e.Step, value, 0
	return true
}

// check refuses an evaluation that lacks the metric it is judged by, or whose metric is no number.
func (b *best) check(metrics map[string]float64) error {
	value, ok := metrics[b.metric]
	if !ok {
		return &FlagError{"metric-for-best-model", fmt.Sprintf("the evaluation has no %q; it has %q", b.metric, metricNames(metrics))}
	}
	if math.IsNaN(value) {
		return fmt.Errorf("%s is not a number", b.metric)
	}
	return nil
}

func metricNames(metrics map[string]float64) []string { return slices.Sorted(maps.Keys(metrics)) }

// evaluate has the caller measure the model where that is due and was not done: before the first step, every so many, and
// after the last. It says whether the model is better than it ever was, and decides when to stop early.
func (r *run) evaluate(ctx context.Context) (better bool, err error) {
	step, every := r.state.Step, r.options.EvalSteps
	due := step == 0 || step == r.schedule.steps || every > 0 && step%every == 0
	done := r.result.Evaluations
	if r.hooks.Evaluate == nil || !due || len(done) > 0 && done[len(done)-1].Step == step {
		r.checkPatience()
		return false, nil
	}
	begin := time.Now()
	metrics, err := r.hooks.Evaluate(ctx, r.encoder)
	if err != nil {
		return false, fmt.Errorf("evaluate after step %d: %w", step, err)
	}
	if err := r.best.check(metrics); err != nil {
		return false, fmt.Errorf("evaluate after step %d: %w", step, err)
	}
	e := Evaluation{Step: step, Epoch: r.calendar.passed(r.state.Next), Metrics: metrics}
	r.result.Evaluations = append(done, e)
	better = r.best.add(e)
	r.checkPatience()
	if err := r.log.write(evalLine{e, time.Since(begin).Seconds()}); err != nil {
		return false, err
	}
	scalars := map[string]float64{}
	for name, value := range metrics {
		scalars["eval/"+name] = value
	}
	if err := r.events.scalars(step, scalars); err != nil {
		return false, err
	}
	r.note(fmt.Sprintf("evaluated after step %d: %s %.5f, best %.5f after step %d",
		step, r.best.metric, metrics[r.best.metric], r.best.value, r.best.step))
	return better, nil
}

// checkPatience stops a run that has not become better for too long.
func (r *run) checkPatience() {
	patience := r.options.EarlyStoppingPatience
	if patience > 0 && r.best.since >= patience && r.state.Step < r.schedule.steps {
		r.result.Stopped = fmt.Sprintf("%d evaluations without a better %s than %.5f after step %d",
			r.best.since, r.best.metric, r.best.value, r.best.step)
	}
}
