package runtime

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/runtime/ort"
)

// TestCompare: another model's vectors are not taken for a model's own, nor are those that are
// not numbers.
func TestCompare(t *testing.T) {
	a, b := opened(t, "bert", Options{}), opened(t, "roberta", Options{})
	if c, err := compare(context.Background(), a, a); err != nil || !(c > 0.999999) {
		t.Errorf("a model and itself: cosine %g, %v", c, err)
	}
	if c, err := compare(context.Background(), a, b); err != nil || c >= minCosine {
		t.Errorf("different models: cosine %g, %v", c, err)
	}
}

func TestCosine(t *testing.T) {
	for _, test := range []struct {
		a, b []float32
		want float64
	}{{[]float32{1, 0}, []float32{2, 0}, 1}, {[]float32{1, 0}, []float32{0, 3}, 0}, {[]float32{3, 4}, []float32{-3, -4}, -1}} {
		if got := Cosine(test.a, test.b); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("Cosine(%v, %v) = %g, want %g", test.a, test.b, got, test.want)
		}
	}
	if got := Cosine([]float32{0, 0}, []float32{1, 0}); got == got {
		t.Errorf("cosine to a vector of zeros is %g", got)
	}
}

func verdictKey(t *testing.T, e *Encoder) string {
	t.Helper()
	key, err := e.verdictKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestVerdictKey: the same model prepared again has the same key; other options have another.
func TestVerdictKey(t *testing.T) {
	a, again, off := opened(t, "bert", Options{}), opened(t, "bert", Options{}), opened(t, "bert", Options{Optimization: ort.OptimizeOff})
	if verdictKey(t, a) != verdictKey(t, again) {
		t.Errorf("one model, two keys:\n%s\n%s", verdictKey(t, a), verdictKey(t, again))
	}
	if verdictKey(t, a) == verdictKey(t, off) {
		t.Error("optimizations off and on share a verdict")
	}
}

// TestVerdict: what was measured of a precision before is believed: a bad one is refused before anything
// is started, a good one is not measured again.
func TestVerdict(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	told := ""
	e, err := prepared(fixture(t, "bert"), Options{Provider: "cpu", Precision: "fp32", Log: func(format string, args ...any) { told += format }})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.model.ID, e.Provider, e.Precision = "sha256:fixture", "openvino", "bf16" // as if it ran there
	key := verdictKey(t, e)
	writeVerdicts(map[string]float64{key: 0.34})
	var refused *PrecisionError
	if err := e.startJudged(context.Background()); !errors.As(err, &refused) || !strings.Contains(err.Error(), "cosine 0.340000") {
		t.Errorf("a precision with cosine 0.34 is not refused: %v", err)
	}
	if e.session != nil {
		t.Error("what is refused was started")
	}
	writeVerdicts(map[string]float64{key: 0.9999})
	if err := e.startJudged(context.Background()); err != nil || e.session == nil {
		t.Errorf("a precision with cosine 0.9999 is refused: %v", err)
	}
	if told != "" {
		t.Errorf("a known precision was measured again: %s", told)
	}
	if err := os.WriteFile(filepath.Join(e.remove, "model.onnx.data"), []byte("another form"), 0o600); err != nil {
		t.Fatal(err)
	}
	if other := verdictKey(t, e); other == key {
		t.Error("a verdict is kept for a graph in another form")
	}
	path, err := verdictsFile()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if kept := readVerdicts(); len(kept) != 0 {
		t.Errorf("a damaged file holds %v", kept)
	}
	writeVerdicts(map[string]float64{"x": math.NaN()})
	writeVerdicts(map[string]float64{"y": 1})
	if kept := readVerdicts(); len(kept) != 1 || kept["y"] != 1 {
		t.Errorf("read back %v", kept)
	}
}
