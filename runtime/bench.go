package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A benchmark runs each contender in a process of its own (a process opens one ONNX Runtime
// library, and its peak memory must be its own) and lets them take turns, so that a drift of the
// machine's speed meets all alike. A contender is any program that speaks this protocol on
// standard input and output, one line each way:
//
//	(start)      → {"load_seconds": s, "name": …, "note": …}
//	throughput   → {"seconds": s, "docs": n, "tokens": n}   encode all texts once
//	latency      → {"latencies": [seconds, …]}              encode the first texts one by one
//	vectors FILE → {}                                       write all vectors, float32 [texts, dim]
//
// and ends when its standard input does. Serve is graft's own side of it.

// Contender is one row of a benchmark.
type Contender struct {
	Name    string
	Model   string   // the model as the user named it, with its variant; "" for programs of others
	Command []string // program and arguments
	Env     []string // besides the environment
	File    string   // the model file, for its size; "" where there is none
}

// BenchOptions say how much is measured.
type BenchOptions struct {
	Repeat  int  // measured rounds
	Latency bool // also one text at a time
	Vectors bool // also compare vectors with the first contender's
	Log     func(format string, args ...any)
}

// BenchResult is what was measured of one contender.
type BenchResult struct {
	Name        string    `json:"name"`
	Model       string    `json:"model,omitempty"`     // as the user named it, with its variant
	Note        string    `json:"note"`                // what the contender says of itself, such as the provider that ran
	LoadSeconds float64   `json:"load_seconds"`        // from its start to being ready, by its own clock
	Rates       []float64 `json:"docs_per_second"`     // docs a second, one per round
	TokenRates  []float64 `json:"tokens_per_second"`   // real tokens a second, one per round
	Latencies   []float64 `json:"latencies,omitempty"` // seconds, ascending
	PeakBytes   int64     `json:"peak_bytes"`          // resident memory at its highest; 0 where the system does not tell
	FileBytes   int64     `json:"file_bytes"`
	Cosine      Number    `json:"min_cosine,omitempty"` // lowest over the texts, to the first contender; 0 where not asked for
}

type reply struct {
	LoadSeconds float64   `json:"load_seconds"`
	Name        string    `json:"name"`
	Note        string    `json:"note"`
	Seconds     float64   `json:"seconds"`
	Docs        int       `json:"docs"`
	Tokens      int64     `json:"tokens"`
	Latencies   []float64 `json:"latencies"`
	Error       string    `json:"error"`
}

// Bench measures the contenders: one round of warm-up each, then o.Repeat rounds in which they
// take turns, in alternating order.
func Bench(ctx context.Context, contenders []Contender, o BenchOptions) ([]BenchResult, error) {
	results := make([]BenchResult, len(contenders))
	processes := make([]*process, len(contenders))
	defer func() {
		for _, p := range processes {
			p.stop()
		}
	}()
	for i, c := range contenders {
		p, err := startProcess(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("bench %s: %w", c.Name, err)
		}
		processes[i] = p
		results[i] = BenchResult{Name: c.Name, Model: c.Model, Note: p.first.Note, LoadSeconds: p.first.LoadSeconds}
		if st, err := os.Stat(c.File); err == nil {
			results[i].FileBytes = st.Size()
		}
		if _, err := p.ask("throughput"); err != nil {
			return nil, fmt.Errorf("bench %s: warm-up: %w", c.Name, err)
		}
		o.Log("%s is ready (loaded in %.1f s)", c.Name, p.first.LoadSeconds)
	}
	for round := range o.Repeat {
		order := make([]int, len(contenders))
		for i := range order {
			order[i] = i
		}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			if err := measure(processes[i], &results[i], o); err != nil {
				return nil, fmt.Errorf("bench %s: round %d: %w", contenders[i].Name, round+1, err)
			}
			r := results[i]
			o.Log("round %d of %d: %s %.1f docs/s", round+1, o.Repeat, r.Name, r.Rates[round])
		}
	}
	for i, p := range processes {
		slices.Sort(results[i].Latencies)
		results[i].PeakBytes = peakMemory(p.cmd.Process.Pid)
	}
	if o.Vectors {
		return results, compareVectors(processes, results)
	}
	return results, nil
}

func measure(p *process, r *BenchResult, o BenchOptions) error {
	t, err := p.ask("throughput")
	if err != nil {
		return err
	}
	if t.Seconds <= 0 {
		return fmt.Errorf("it reports %g seconds", t.Seconds)
	}
	r.Rates = append(r.Rates, float64(t.Docs)/t.Seconds)
	r.TokenRates = append(r.TokenRates, float64(t.Tokens)/t.Seconds)
	if o.Latency {
		l, err := p.ask("latency")
		if err != nil {
			return err
		}
		r.Latencies = append(r.Latencies, l.Latencies...)
	}
	return nil
}

// compareVectors fills the lowest cosine of each contender's vectors to the first one's.
func compareVectors(processes []*process, results []BenchResult) error {
	var first []float32
	for i, p := range processes {
		f, err := os.CreateTemp("", "graft-vectors-*")
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		f.Close()
		defer os.Remove(f.Name())
		if _, err := p.ask("vectors " + f.Name()); err != nil {
			return fmt.Errorf("bench %s: vectors: %w", results[i].Name, err)
		}
		data, err := os.ReadFile(f.Name())
		if err != nil {
			return fmt.Errorf("bench %s: vectors: %w", results[i].Name, err)
		}
		vectors := float32sOf(data)
		if i == 0 {
			first = vectors
		}
		if len(vectors) != len(first) || p.docs == 0 {
			return fmt.Errorf("bench %s: %d numbers for %d texts, the first contender has %d", results[i].Name, len(vectors), p.docs, len(first))
		}
		dim := len(first) / p.docs
		results[i].Cosine = 1
		for d := 0; d < len(first); d += dim {
			if c := Number(Cosine(first[d:d+dim], vectors[d:d+dim])); c < results[i].Cosine || c != c {
				results[i].Cosine = c
			}
		}
	}
	return nil
}

// process is a contender that runs.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	first reply
	docs  int
}

func startProcess(ctx context.Context, c Contender) (*process, error) {
	cmd := exec.CommandContext(ctx, c.Command[0], c.Command[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	p.out.Buffer(nil, 16<<20)
	if p.first, err = p.read(); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) ask(line string) (reply, error) {
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		return reply{}, err
	}
	r, err := p.read()
	if r.Docs > 0 {
		p.docs = r.Docs
	}
	return r, err
}

func (p *process) read() (reply, error) {
	var r reply
	if !p.out.Scan() {
		if err := p.out.Err(); err != nil {
			return r, err
		}
		return r, fmt.Errorf("the process ended before it answered")
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("answer %q: %w", p.out.Text(), err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("%s", r.Error)
	}
	return r, nil
}

// stop ends the process; one that does not leave by itself is killed.
func (p *process) stop() {
	if p == nil {
		return
	}
	p.in.Close()
	timer := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	timer.Stop()
}

// peakMemory is the process's highest resident memory in bytes (VmHWM); 0 where it is not known.
func peakMemory(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// Median of values that are not empty; they keep their order.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// MedianRatio is the median of a[i]/b[i]: rounds are compared with the same round, so that a
// drift of the machine's speed cancels.
func MedianRatio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return Median(ratios)
}

// Percentile p (0 to 100) of ascending values by the nearest rank; 0 of none.
func Percentile(ascending []float64, p float64) float64 {
	if len(ascending) == 0 {
		return 0
	}
	i := int(math.Ceil(p/100*float64(len(ascending)))) - 1
	return ascending[max(i, 0)]
}
