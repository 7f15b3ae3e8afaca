//go:build !lite

package train

import (
	"cmp"
	"fmt"
	"slices"

	"graft/train/torch"
)

// encoder runs token ids through the model, several texts at a time.
type encoder struct {
	program  *torch.Program
	device   torch.Device
	autocast torch.DType // of the encoder's arithmetic; 0: float32 throughout
	pad      int32       // token id where a text has ended; the mask says that nothing is there
}

// checkInputs refuses models that want to be fed what a text does not say.
func (e *encoder) checkInputs() error {
	for _, name := range e.program.Inputs() {
		if modelInputs[name] == nil {
			return fmt.Errorf("the model has an input %q; known are input_ids, attention_mask, token_type_ids and pooling_mask", name)
		}
	}
	return nil
}

// modelInputs fill a row of each input that a model may have, by its name.
var modelInputs = map[string]func(row []int64, t text, pad int32){
	"input_ids": func(row []int64, t text, pad int32) {
		for i := range row {
			if i < len(t.ids) {
				row[i] = int64(t.ids[i])
			} else {
				row[i] = int64(pad)
			}
		}
	},
	"attention_mask": func(row []int64, t text, _ int32) {
		for i := range t.ids {
			row[i] = 1
		}
	},
	"token_type_ids": func([]int64, text, int32) {}, // a single text: all 0
	"pooling_mask": func(row []int64, t text, _ int32) {
		first := t.unpooled
		if first >= len(t.ids) {
			first = 0 // a text of nothing but its instruction is pooled whole
		}
		for i := first; i < len(t.ids); i++ {
			row[i] = 1
		}
	},
}

// text is what the model encodes at once into one vector.
type text struct {
	ids      []int32
	pad      int // tokens it is padded to; 0: to the longest of its sub-batch
	unpooled int // tokens, from the first on, that a model with a pooling mask leaves out of the pooling
}

// length is the tokens that the text takes of a sub-batch: an empty one too has a place, of padding.
func (t text) length() int { return max(1, len(t.ids), t.pad) }

// subBatch is texts that run together, by their number, padded to length tokens.
type subBatch struct {
	texts  []int
	length int
	worker int // which runs it
}

// forward encodes a sub-batch, padded on the right. Its vectors, float32 [texts, width], belong to s.
func (e *encoder) forward(s *torch.Scope, texts []text, b subBatch, o torch.RunOptions) *torch.Tensor {
	inner := torch.NewScope()
	defer inner.Close()
	inputs := make(map[string]*torch.Tensor)
	for _, name := range e.program.Inputs() {
		data := make([]int64, len(b.texts)*b.length)
		for i, n := range b.texts {
			modelInputs[name](data[i*b.length:(i+1)*b.length], texts[n], e.pad)
		}
		inputs[name] = inner.ToDevice(inner.Int64s(data, int64(len(b.texts)), int64(b.length)), e.device)
	}
	var out *torch.Tensor
	run := func() { out = e.program.Run(inner, inputs, o)[embedding] }
	if e.autocast != 0 {
		inner.Autocast(e.autocast, e.device, run)
	} else {
		run()
	}
	out = s.Own(inner.To(out, torch.Float32))
	if err := inner.Err(); err != nil {
		s.Fail(fmt.Errorf("encode %d texts of %d tokens: %w", len(b.texts), b.length, err))
	}
	return out
}

// embedding is the output of a model that is trained: its pooled vector, not normalized.
const embedding = "sentence_embedding"

// vectors encodes texts as they would be used: without dropout, and without a graph; unpooled is text.unpooled of all.
// It returns [len(ids), width], row-major.
func (e *encoder) vectors(ids [][]int32, unpooled, tokens int) ([]float32, error) {
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	texts := make([]text, len(ids))
	for i := range ids {
		texts[i] = text{ids: ids[i], unpooled: unpooled}
	}
	var out []float32
	for _, b := range split(texts, limits{tokens: tokens, start: startCost(e.device)}) {
		var v *torch.Tensor
		s.NoGrad(func() { v = e.forward(s, texts, b, torch.RunOptions{}) })
		if s.Err() != nil {
			return nil, s.Err()
		}
		rows, err := v.Float32s()
		if err != nil {
			return nil, err
		}
		s.Release(v)
		width := len(rows) / len(b.texts)
		if out == nil {
			out = make([]float32, len(ids)*width)
		}
		for i, n := range b.texts {
			copy(out[n*width:(n+1)*width], rows[i*width:(i+1)*width])
		}
	}
	return out, nil
}

// limits bound a sub-batch; without any, all texts run at once. A text that is over a limit by itself runs alone.
type limits struct {
	tokens int // padded tokens; 0: no limit
	texts  int // 0: no limit
	start  int // padded tokens whose computation takes as long as beginning another sub-batch does
}

// startCost is limits.start on a device. On two CPU cores a sub-batch more of all-MiniLM-L6-v2 costs about 50 ms, most of
// them for adding another gradient of every weight, and a token 0.3 ms. On a GPU thousands of tokens are computed in the
// time that a sub-batch's kernels take to launch.
func startCost(d torch.Device) int {
	if d.Kind == torch.CUDA {
		return 4096
	}
	return 160
}

// split cuts texts into the sub-batches that cost least.
func split(texts []text, limit limits) []subBatch {
	return cut(texts, longestFirst(texts, 0, len(texts)), limit)
}

// longestFirst are the numbers of the texts from first to end, by length.
func longestFirst(texts []text, first, end int) []int {
	order := make([]int, end-first)
	for i := range order {
		order[i] = first + i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(texts[b].length(), texts[a].length()) })
	return order
}

// cut cuts the texts of order, the longest first, into the sub-batches that cost least: each its padded tokens and its
// start. The longest run first, so that memory is taken once.
func cut(texts []text, order []int, limit limits) []subBatch {
	// cost[i] is that of the first i texts in order, whose last sub-batch begins at cuts[i].
	cost, cuts := make([]int, len(order)+1), make([]int, len(order)+1)
	for i := 1; i <= len(order); i++ {
		for from := i - 1; from >= 0; from-- {
			n, length := i-from, texts[order[from]].length()
			if n > 1 && (limit.tokens > 0 && n*length > limit.tokens || limit.texts > 0 && n > limit.texts) {
				break
			}
			if c := cost[from] + n*length + limit.start; n == 1 || c <= cost[i] {
				cost[i], cuts[i] = c, from
			}
		}
	}
	var out []subBatch
	for i := len(order); i > 0; i = cuts[i] {
		out = append(out, subBatch{texts: order[cuts[i]:i], length: texts[order[cuts[i]]].length()})
	}
	slices.Reverse(out)
	return out
}
