//go:build !lite

package torch_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/train/torch"
)

// Every hidden state of every architecture is the reference library's, on either side of the padding and without it.
func TestHiddenStates(t *testing.T) {
	for _, dir := range modelDirs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			e := readExpected(t, dir)
			p := compiled(t, opened(t, dir, convert.OpenOptions{HiddenStates: true}), torch.CompileOptions{})
			right := e.batch(t, "right")
			got := forward(t, p, right)
			want := stored(t, e.tensors, "right.last_hidden_state")
			e.near(t, "last_hidden_state", right.real(got["last_hidden_state"]), right.real(want))
			checkStates(t, e, right, got)
			left := right.left()
			e.near(t, "moved left", left.real(forward(t, p, left)["last_hidden_state"]), right.real(want))
			features := len(want) / len(right.mask.data)
			for row := range right.ids.rows {
				e.near(t, fmt.Sprintf("row %d alone", row), forward(t, p, right.alone(row))["last_hidden_state"],
					want[row*right.ids.width*features:][:right.length(row)*features])
			}
		})
	}
}

// checkStates compares all hidden states. The library's last one may be after the final norm, which is our
// last_hidden_state.
func checkStates(t *testing.T, e *expected, b *batch, got map[string][]float32) {
	t.Helper()
	last := stored(t, e.tensors, "right.last_hidden_state")
	for n := 0; ; n++ {
		name := fmt.Sprintf("hidden_states.%d", n)
		want := stored(t, e.tensors, "right."+name)
		if want == nil {
			if n < 3 {
				t.Fatalf("only %d hidden states in the fixture", n)
			}
			return
		}
		if !slices.Equal(want, last) {
			e.near(t, name, b.real(got[name]), b.real(want))
		}
	}
}

// Every pooling, with and without normalization, gives the reference's vectors on either side of the padding.
func TestPooling(t *testing.T) {
	for _, dir := range modelDirs(t) {
		e := readExpected(t, dir)
		for _, name := range []string{"cls", "cls_norm", "mean", "mean_norm", "last", "last_norm", "last_8", "last_8_norm"} {
			want := stored(t, e.tensors, "right.sentence_embedding."+name)
			if want == nil {
				continue
			}
			t.Run(filepath.Base(dir)+"/"+name, func(t *testing.T) {
				mode, normalize := strings.CutSuffix(name, "_norm")
				m := opened(t, dir, convert.OpenOptions{Pooling: mode, Normalize: &normalize})
				p := compiled(t, m, torch.CompileOptions{Outputs: []string{"sentence_embedding"}})
				right := e.batch(t, "right")
				e.near(t, "right", forward(t, p, right)["sentence_embedding"], want)
				e.near(t, "moved left", forward(t, p, right.left())["sentence_embedding"], want)
			})
		}
	}
}
