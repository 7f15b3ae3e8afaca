//go:build !lite

package torch_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/train/torch"
)

// trainBatch reads batch i of the training fixtures: the queries and their passages.
func trainBatch(t testing.TB, c *safetensors.Checkpoint, i int) (queries, passages *batch) {
	t.Helper()
	read := func(ids, mask string, rows int) *batch {
		return &batch{ids: storedTokens(t, c, ids).part(i*rows, rows), mask: storedTokens(t, c, mask).part(i*rows, rows)}
	}
	return read("q_ids", "q_mask", 4), read("p_ids", "p_mask", 16)
}

// infoNCE is the cross entropy of the cosines between queries and all passages over the temperature; passage 4·i is the
// positive of query i.
func infoNCE(s *torch.Scope, queries, passages *torch.Tensor) *torch.Tensor {
	const group, temperature = 4, 0.02
	q, p := s.Normalize(queries, -1, 1e-12), s.Normalize(passages, -1, 1e-12)
	scores := s.DivScalar(s.MatMul(q, s.T(p)), temperature)
	targets := make([]int64, queries.Dim(0))
	for i := range targets {
		targets[i] = int64(i) * group
	}
	return s.CrossEntropy(scores, s.Int64s(targets, int64(len(targets))))
}

// gradientsOf runs forward and backward of batch 0 and gives the loss and the gradients by name.
func gradientsOf(t testing.TB, p *torch.Program, run torch.RunOptions, queries, passages *batch) (float64, map[string][]float32) {
	t.Helper()
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	q := p.Run(s, queries.feed(s, p), run)["sentence_embedding"]
	d := p.Run(s, passages.feed(s, p), run)["sentence_embedding"]
	loss := infoNCE(s, q, d)
	s.Backward(loss)
	return takeGradients(t, s, p, loss)
}

// takeGradients gives a loss that was gone back from, and the gradients by name, which it drops.
func takeGradients(t testing.TB, s *torch.Scope, p *torch.Program, loss *torch.Tensor) (float64, map[string][]float32) {
	t.Helper()
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	value, err := loss.Item()
	if err != nil {
		t.Fatal(err)
	}
	grads := map[string][]float32{}
	for _, w := range p.Parameters() {
		g := w.Tensor.Grad()
		if g == nil {
			continue
		}
		if grads[w.Name], err = g.Float32s(); err != nil {
			t.Fatal(err)
		}
		g.Free()
	}
	torch.ZeroGrads(tensorsOf(p))
	return value, grads
}

func tensorsOf(p *torch.Program) []*torch.Tensor {
	var list []*torch.Tensor
	for _, w := range p.Parameters() {
		list = append(list, w.Tensor)
	}
	return list
}

// trainModel opens the start of the training fixtures of arch, without normalization, which is the loss's.
func trainModel(t testing.TB, arch, pooling string, o torch.CompileOptions) *torch.Program {
	t.Helper()
	return vectorModel(t, filepath.Join("../../testdata/train", arch, "init"), pooling, o)
}

// vectorModel compiles the sentence embedding of a model directory, not normalized.
func vectorModel(t testing.TB, dir, pooling string, o torch.CompileOptions) *torch.Program {
	t.Helper()
	plain := false
	m := opened(t, dir, convert.OpenOptions{Pooling: pooling, Normalize: &plain})
	o.Outputs = []string{"sentence_embedding"}
	return compiled(t, m, o)
}

// The gradients of the first step are the reference's, tensor by tensor.
func TestFirstGradients(t *testing.T) {
	for _, test := range []struct {
		arch, pooling string
		loss          float64 // "expected" of expected.json, step 0
	}{{"bert", "mean", 3.445870876312256}, {"llama", "last", 17.5770263671875}} {
		t.Run(test.arch, func(t *testing.T) {
			p := trainModel(t, test.arch, test.pooling, torch.CompileOptions{})
			queries, passages := trainBatch(t, checkpoint(t, "../../testdata/train/batches.safetensors"), 0)
			loss, got := gradientsOf(t, p, torch.RunOptions{}, queries, passages)
			if math.Abs(loss-test.loss) > 2e-4 {
				t.Errorf("loss %v, want %v", loss, test.loss)
			}
			want := checkpoint(t, filepath.Join("../../testdata/train", test.arch, "infonce", "grad_step0.safetensors"))
			for _, w := range want.Tensors {
				name := strings.TrimPrefix(w.Name, "model.")
				g := stored(t, want, w.Name)
				top := 0.0
				for _, x := range g {
					top = max(top, math.Abs(float64(x)))
				}
				if strings.HasSuffix(name, "attention.self.key.bias") {
					top = 1 // exactly zero but for rounding
				}
				within(t, name, got[name], g, 1e-4*top, 0)
			}
			if len(got) < len(want.Tensors)-2 || len(got) > len(want.Tensors) {
				t.Errorf("%d gradients, want %d", len(got), len(want.Tensors))
			}
		})
	}
}

// The first gradients of an architecture are those that the reference library computes, tensor by tensor, on either side of
// the padding: behind the texts causal order stands for the mask, before them it does not.
func TestArchitectureGradients(t *testing.T) {
	for _, dir := range modelDirs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			want := checkpoint(t, filepath.Join(dir, "gradients.safetensors"))
			pooling := "mean"
			if filepath.Base(dir) == "nvembed" {
				pooling = "" // its own
			}
			p := vectorModel(t, dir, pooling, torch.CompileOptions{})
			right := readExpected(t, dir).batch(t, "right")
			for side, texts := range map[string]*batch{"right": right, "left": right.left()} {
				loss, got := rowGradients(t, p, texts)
				if w := float64(stored(t, want, "loss")[0]); math.Abs(loss-w) > 1e-4 {
					t.Errorf("%s: loss %v, want %v", side, loss, w)
				}
				compareSamples(t, side, want, got)
			}
		})
	}
}

// rowGradients is gradientsOf for the contrastive loss of rows 0 and 1 with rows 2 and 3.
func rowGradients(t *testing.T, p *torch.Program, texts *batch) (float64, map[string][]float32) {
	t.Helper()
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	v := s.Normalize(p.Run(s, texts.feed(s, p), torch.RunOptions{})["sentence_embedding"], -1, 1e-12)
	scores := s.DivScalar(s.MatMul(s.Slice(v, 0, 0, 2, 1), s.T(s.Slice(v, 0, 2, 4, 1))), 0.05)
	loss := s.CrossEntropy(scores, s.Int64s([]int64{0, 1}, 2))
	s.Backward(loss)
	return takeGradients(t, s, p, loss)
}

// compareSamples compares gradients with those of a file: whole, or their norms and every so manyth element.
func compareSamples(t *testing.T, side string, want *safetensors.Checkpoint, got map[string][]float32) {
	t.Helper()
	seen := 0
	for _, w := range want.Tensors {
		name, _, _ := strings.Cut(w.Name, "#")
		if name == "loss" {
			continue
		}
		g, w, whole := gradientNamed(got, name), stored(t, want, w.Name), strings.HasSuffix(w.Name, "#norm")
		if g == nil {
			t.Errorf("%s: no gradient of %q", side, name)
			continue
		}
		seen++
		top := 0.0
		for _, x := range w {
			top = max(top, math.Abs(float64(x)))
		}
		switch {
		case whole:
			sum := 0.0
			for _, x := range g {
				sum += float64(x) * float64(x)
			}
			g = []float32{float32(math.Sqrt(sum))}
		case len(g) != len(w):
			var sample []float32
			for i := 0; i < len(g); i += len(g) / 256 {
				sample = append(sample, g[i])
			}
			g = sample
		}
		within(t, side+" "+name, g, w, 1e-4*top+1e-6, 0)
	}
	if seen < 10 {
		t.Errorf("%s: %d gradients", side, seen)
	}
}

// gradientNamed finds a gradient by a name that may have a prefix on either side, as the same weight has in other classes.
func gradientNamed(all map[string][]float32, name string) []float32 {
	for known, g := range all {
		if known == name || strings.HasSuffix(known, "."+name) || strings.HasSuffix(name, "."+known) {
			return g
		}
	}
	return nil
}
