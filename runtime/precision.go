package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"graft/graph"
	"graft/runtime/ort"
)

// minCosine is how close to fp32 a faster precision must be to be used at all.
const minCosine = 0.999

// quantizedCosine is the same where the graph rounds activations itself: a number that another kernel computes a
// little otherwise may get another code, so that two runtimes lie as far from one another as from fp32.
const quantizedCosine = 0.98

// least is the cosine that m's vectors must reach on another provider.
func least(m *graph.Model) float64 {
	lowest := minCosine
	m.Graph.Walk(func(n *graph.Node) {
		if n.Op == "QuantizeLinear" {
			lowest = quantizedCosine
		}
	})
	return lowest
}

// probes are the texts on which a precision is compared with fp32: short and long, and several
// in a batch, so that padding masks matter (a mask of -3.4e38 survives fp32 and ruins bf16).
var probes = []string{
	"graft",
	"How do vaccines train the immune system to recognise a virus it has never met?",
	"The Go scheduler multiplexes goroutines onto operating system threads and steals work between processors when one runs dry.",
	"为什么天空是蓝色的？",
	"A retrieval model maps queries and documents to vectors so that the documents that answer a query lie close to it; it is trained on pairs, " +
		"with the other documents of a batch as negatives, and measured by the rank at which the right documents appear.",
}

// PrecisionError says that a provider's precision does not give the model's own vectors.
type PrecisionError struct {
	Provider, Precision string
	Cosine, Least       float64
}

func (e *PrecisionError) Error() string {
	return fmt.Sprintf("provider %s in %s gives other vectors than fp32: cosine %.6f on a probe text, at least %g is wanted", e.Provider, e.Precision, e.Cosine, e.Least)
}

// startVerified starts e, unless its provider gives other vectors than the CPU provider in fp32.
func (e *Encoder) startVerified(ctx context.Context) error {
	if e.Provider == "cpu" {
		return e.start()
	}
	p, err := ort.ProviderNamed(e.Provider)
	if err == nil {
		err = p.Load()
	}
	if err != nil {
		return fmt.Errorf("open encoder: %w", err)
	}
	return e.startJudged(ctx)
}

// startJudged starts e by what was measured of it before, and measures where nothing was: once for all that decides
// its vectors (verdictKey). The verdict is kept in the user's cache, and what it refuses is not started.
func (e *Encoder) startJudged(ctx context.Context) error {
	key, err := e.verdictKey()
	if err != nil {
		return fmt.Errorf("verify precision: %w", err)
	}
	kept := readVerdicts()
	if cosine, known := kept[key]; known && e.model.ID != "" {
		if err := e.judge(cosine); err != nil {
			return err
		}
		return e.start()
	}
	if err := e.start(); err != nil {
		return err
	}
	cosine, err := e.measure(ctx)
	if err != nil {
		return err
	}
	if e.model.ID != "" {
		kept[key] = cosine
		writeVerdicts(kept)
	}
	return e.judge(cosine)
}

// judge refuses a precision whose vectors have too small a cosine with fp32's.
func (e *Encoder) judge(cosine float64) error {
	if wanted := least(e.model.Graph); !(cosine >= wanted) { // NaN fails
		return &PrecisionError{e.Provider, e.Precision, cosine, wanted}
	}
	return nil
}

// measure compares e's vectors of the probes with those of the CPU provider in fp32.
func (e *Encoder) measure(ctx context.Context) (float64, error) {
	if err := e.refuseFallback(); err != nil {
		return 0, err
	}
	reference := e.options
	reference.Provider, reference.Precision, reference.ProviderOptions = "cpu", "fp32", nil
	reference.portable = true
	r, err := open(e.model, reference)
	if err != nil {
		return 0, fmt.Errorf("verify precision: %w", err)
	}
	defer r.Close()
	cosine, err := compare(ctx, e, r)
	if err != nil {
		return 0, fmt.Errorf("verify precision: %w", err)
	}
	e.options.Log("provider %s in %s: cosine %.6f to fp32 on %d probe texts", e.Provider, e.Precision, cosine, len(probes))
	return cosine, nil
}

// verdictKey names what decides e's vectors: the model, where and how it runs, the library, and the
// form of the graph that runs, so that a verdict about an earlier way to write it is not believed.
func (e *Encoder) verdictKey() (string, error) {
	form := "as it is"
	if e.remove != "" {
		var err error
		if form, err = hashFiles(e.remove); err != nil {
			return "", err
		}
	}
	_, _, version, _ := ort.Loaded()
	return fmt.Sprintf("%s %s %s %s %q %v %s", e.model.ID, e.Provider, e.Precision, version, e.options.Optimization, e.options.ProviderOptions, form), nil
}

// hashFiles is the SHA-256 of the files in a folder, with their names.
func hashFiles(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, entry := range entries {
		f, err := os.Open(filepath.Join(dir, entry.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q\n", entry.Name())
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// refuseFallback fails where nodes that compute run on the CPU provider though another was asked for.
func (e *Encoder) refuseFallback() error {
	placed, err := e.Placements()
	if err != nil {
		return fmt.Errorf("find where nodes run: %w", err)
	}
	if fallen := ort.Fallback(placed, e.session.Provider); len(fallen) > 0 {
		return fmt.Errorf("provider %s leaves %d of %d nodes to the CPU provider, first %q (%s)", e.Provider, len(fallen), len(placed), fallen[0].Node, fallen[0].Op)
	}
	return nil
}

// compare is the smallest cosine between a's and b's vectors of the probes.
func compare(ctx context.Context, a, b *Encoder) (float64, error) {
	va, errA := a.Encode(ctx, probes, EncodeOptions{})
	vb, errB := b.Encode(ctx, probes, EncodeOptions{})
	if err := errors.Join(errA, errB); err != nil {
		return 0, err
	}
	lowest := 1.0
	for i := range probes {
		if c := Cosine(va.Row(i), vb.Row(i)); c < lowest || c != c { // a NaN stays
			lowest = c
		}
	}
	return lowest, nil
}

// Cosine of two vectors, in float64; NaN where one is zero or not finite.
func Cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	return dot / math.Sqrt(aa*bb)
}

func verdictsFile() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "graft", "precision.json"), nil
}

// readVerdicts returns the cosines measured earlier; none where the file cannot be read.
func readVerdicts() map[string]float64 {
	kept := map[string]float64{}
	if path, err := verdictsFile(); err == nil {
		if data, err := os.ReadFile(path); err == nil {
			json.Unmarshal(data, &kept) // a damaged cache is measured anew
		}
	}
	return kept
}

// writeVerdicts keeps what was measured; a cache that cannot be written is measured anew next time.
func writeVerdicts(kept map[string]float64) {
	path, err := verdictsFile()
	if err != nil {
		return
	}
	data, err := json.MarshalIndent(kept, "", " ")
	if err != nil {
		return // a NaN cosine is not kept
	}
	if os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "precision-*")
	if err != nil {
		return
	}
	_, err = tmp.Write(data)
	if tmp.Close() != nil || err != nil || os.Rename(tmp.Name(), path) != nil {
		os.Remove(tmp.Name())
	}
}
