package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"graft/runtime/ort"
	"graft/runtime/tokenizer"
)

// Number is a figure that JSON may not have: NaN and infinities are null there.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if n-n != 0 {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// Difference says how far two sets of vectors of the same texts are apart.
type Difference struct {
	MaxAbs     Number `json:"max_abs"`     // largest difference of a feature
	MinCosine  Number `json:"min_cosine"`  // of a text
	MeanCosine Number `json:"mean_cosine"` // over the texts
	WorstText  int    `json:"worst_text"`  // index of the text with the smallest cosine
}

// Verification is what Verify finds.
type Verification struct {
	Texts int        `json:"texts"`
	AB    Difference `json:"difference"` // of B to A
	// Neighbours is the mean share of a text's ten nearest other texts by A that are among the ten
	// nearest by B too: what retrieval feels of the difference. NaN for fewer than three texts.
	Neighbours Number        `json:"neighbours"`
	A, B       Steadiness    `json:"-"`
	Checks     []CheckResult `json:"checks"`
}

// Steadiness says how much a model's vector of a text depends on what should not matter.
type Steadiness struct {
	Alone       Difference `json:"alone"`        // each text alone, against in batches
	LeftPadding Difference `json:"left_padding"` // padded on the left, against on the right
	Unoptimized Difference `json:"unoptimized"`  // ONNX Runtime's optimizations off, against on
	NotFinite   int        `json:"not_finite"`   // texts whose vector holds a NaN or an infinity
}

// Checks lists the comparisons.
func (s Steadiness) Checks() []CheckResult {
	return []CheckResult{
		{"alone against in batches", s.Alone},
		{"padded left against right", s.LeftPadding},
		{"optimizations off against on", s.Unoptimized},
	}
}

// CheckResult is one line of a verification.
type CheckResult struct {
	Name       string `json:"name"`
	Difference `json:"difference"`
}

// Verify encodes texts with a and b and compares; each model is also compared with itself.
func Verify(ctx context.Context, a, b *Encoder, texts []string, o EncodeOptions) (*Verification, error) {
	va, err := a.Encode(ctx, texts, o)
	if err != nil {
		return nil, err
	}
	vb, err := b.Encode(ctx, texts, o)
	if err != nil {
		return nil, err
	}
	if va.Dim != vb.Dim {
		return nil, fmt.Errorf("verify: vectors of %d and of %d features cannot be compared", va.Dim, vb.Dim)
	}
	v := &Verification{Texts: len(texts), AB: va.difference(vb), Neighbours: Number(neighbours(va, vb))}
	if v.A, err = a.steadiness(ctx, va, texts, o); err != nil {
		return nil, err
	}
	if v.B, err = b.steadiness(ctx, vb, texts, o); err != nil {
		return nil, err
	}
	v.Checks = []CheckResult{{"B against A", v.AB}}
	for of, s := range map[string]Steadiness{"A": v.A, "B": v.B} {
		for _, c := range s.Checks() {
			v.Checks = append(v.Checks, CheckResult{of + ": " + c.Name, c.Difference})
		}
	}
	slices.SortStableFunc(v.Checks[1:], func(x, y CheckResult) int { return strings.Compare(x.Name[:1], y.Name[:1]) })
	return v, nil
}

// difference of w to v.
func (v *Vectors) difference(w *Vectors) Difference {
	d := Difference{MinCosine: 1}
	for i := range v.Rows {
		x, y := v.Row(i), w.Row(i)
		for j := range x {
			if a := Number(math.Abs(float64(x[j]) - float64(y[j]))); a > d.MaxAbs || a != a { // a NaN stays
				d.MaxAbs = a
			}
		}
		c := Number(Cosine(x, y))
		d.MeanCosine += c / Number(v.Rows)
		if c < d.MinCosine || c != c {
			d.MinCosine, d.WorstText = c, i
		}
	}
	return d
}

// nearest is how many neighbours are compared.
const nearest = 10

// neighbours is the mean overlap of the nearest texts by a and by b.
func neighbours(a, b *Vectors) float64 {
	k := min(nearest, a.Rows-1)
	if a.Rows < 3 {
		return math.NaN()
	}
	sum := 0.0
	for i := range a.Rows {
		of := a.nearest(i, k)
		for _, j := range b.nearest(i, k) {
			if slices.Contains(of, j) {
				sum++
			}
		}
	}
	return sum / float64(a.Rows*k)
}

// nearest returns the k texts other than i with the largest cosine to it.
func (v *Vectors) nearest(i, k int) []int {
	cosines := make([]float64, v.Rows)
	var others []int
	for j := range v.Rows {
		if j != i {
			cosines[j] = Cosine(v.Row(i), v.Row(j))
			others = append(others, j)
		}
	}
	slices.SortStableFunc(others, func(x, y int) int {
		switch {
		case cosines[x] > cosines[y]:
			return -1
		case cosines[x] < cosines[y]:
			return 1
		}
		return 0
	})
	return others[:k]
}

// Steadiness encodes texts and compares their vectors with those of the same texts run otherwise.
func (e *Encoder) Steadiness(ctx context.Context, texts []string, o EncodeOptions) (Steadiness, error) {
	v, err := e.Encode(ctx, texts, o)
	if err != nil {
		return Steadiness{}, err
	}
	return e.steadiness(ctx, v, texts, o)
}

// steadiness compares v, the vectors that e gave for texts, with those of the same texts run
// otherwise.
func (e *Encoder) steadiness(ctx context.Context, v *Vectors, texts []string, o EncodeOptions) (Steadiness, error) {
	var s Steadiness
	for i := range v.Rows {
		if slices.ContainsFunc(v.Row(i), func(x float32) bool { return x-x != 0 }) {
			s.NotFinite++
		}
	}
	rows, err := e.tokenize(ctx, texts, o)
	if err != nil {
		return s, fmt.Errorf("verify: %w", err)
	}
	longest := 0
	for _, r := range rows {
		longest = max(longest, len(r.IDs))
	}
	alone, err := e.each(ctx, rows, func(r tokenizer.Encoding) int { return len(r.IDs) }, tokenizer.Right)
	if err != nil {
		return s, fmt.Errorf("verify: a text alone: %w", err)
	}
	s.Alone = v.difference(alone)
	left, err := e.each(ctx, rows, func(tokenizer.Encoding) int { return longest }, tokenizer.Left)
	if err != nil {
		return s, fmt.Errorf("verify: padding on the left: %w", err)
	}
	s.LeftPadding = v.difference(left)
	plain := e.options
	plain.Provider, plain.Precision, plain.Optimization = e.Provider, e.Precision, ort.OptimizeOff
	p, err := open(e.model, plain)
	if err != nil {
		return s, fmt.Errorf("verify: optimizations off: %w", err)
	}
	defer p.Close()
	u, err := p.Encode(ctx, texts, o)
	if err != nil {
		return s, fmt.Errorf("verify: optimizations off: %w", err)
	}
	s.Unoptimized = v.difference(u)
	return s, nil
}

// each runs the rows one by one, padded to the length that is asked for.
func (e *Encoder) each(ctx context.Context, rows []tokenizer.Encoding, length func(tokenizer.Encoding) int, side tokenizer.Side) (*Vectors, error) {
	v := &Vectors{Rows: len(rows), Dim: e.Dim, Data: make([]float32, len(rows)*e.Dim)}
	for i, r := range rows {
		err := e.run(ctx, []tokenizer.Encoding{r}, length(r), side, func(x []float32) { copy(v.Row(i), x) })
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}
