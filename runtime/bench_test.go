package runtime

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := Median(test.values); got != test.want {
			t.Errorf("Median(%v) = %g, want %g", test.values, got, test.want)
		}
	}
	if got := MedianRatio([]float64{10, 2, 30}, []float64{5, 1, 10}); got != 2 {
		t.Errorf("MedianRatio = %g, want 2: rounds are compared with the same round", got)
	}
}

func TestPercentile(t *testing.T) {
	values := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for p, want := range map[float64]float64{0: 1, 10: 1, 11: 2, 50: 5, 95: 10, 100: 10} {
		if got := Percentile(values, p); got != want {
			t.Errorf("percentile %g of 1 to 10 is %g, want %g", p, got, want)
		}
	}
	if got := Percentile(nil, 50); got != 0 {
		t.Errorf("percentile of nothing is %g", got)
	}
}

// TestServe: a contender answers each request with one line, mistakes too.
func TestServe(t *testing.T) {
	e := opened(t, "bert", Options{})
	file := filepath.Join(t.TempDir(), "vectors")
	var out bytes.Buffer
	texts := []string{"one", "two", "two"}
	err := Serve(context.Background(), e, texts, EncodeOptions{}, time.Second, strings.NewReader("throughput\nlatency\nvectors "+file+"\njump\n"), &out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{`"load_seconds":1,`, `"docs":3,"tokens":`, `"latencies":[`, `"docs":3,`, `unknown request \"jump\"`} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Fatalf("answers %q: want %q in line %d", lines, want, i+1)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := encoded(t, e, texts, EncodeOptions{})
	if d := far(float32sOf(data), want.Data); len(data) != 4*len(want.Data) || d > 1e-6 {
		t.Errorf("%d bytes of vectors, off by %g", len(data), d)
	}
}

// TestServeCountsOnce: the texts' tokens are counted in the first round and remembered.
func TestServeCountsOnce(t *testing.T) {
	e, texts := opened(t, "bert", Options{}), []string{"one", "two"}
	s := &server{e: e, texts: texts}
	first, err := s.throughput(context.Background(), "")
	want, errCount := e.countTokens(context.Background(), texts, EncodeOptions{})
	if err != nil || errCount != nil || first.Tokens != want || want == 0 {
		t.Errorf("%d tokens, want %d: %v, %v", first.Tokens, want, err, errCount)
	}
	s.tokens = 7
	if again, err := s.throughput(context.Background(), ""); err != nil || again.Tokens != 7 {
		t.Errorf("%d tokens are counted again (%v)", again.Tokens, err)
	}
}
