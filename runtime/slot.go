package runtime

import (
	"context"
	"fmt"

	"graft/runtime/ort"
	"graft/runtime/tokenizer"
)

// A slot is the memory of one run: inputs in the session's order and the output. It is reused
// from batch to batch.
type slot struct {
	inputs []*ort.Tensor[int64]
	fill   []filler
	output *ort.Tensor[float32]
}

// A filler writes one row of an input: the tokens of e from place at on, padding elsewhere.
type filler func(row []int64, e tokenizer.Encoding, at int, pad int64)

// fillers are the inputs that encoders have, by name.
var fillers = map[string]filler{
	inputIDs: func(row []int64, e tokenizer.Encoding, at int, pad int64) {
		for i := range row {
			row[i] = pad
		}
		for i, id := range e.IDs {
			row[at+i] = int64(id)
		}
	},
	attentionMask: func(row []int64, e tokenizer.Encoding, at int, _ int64) {
		clear(row)
		for i := range e.IDs {
			row[at+i] = 1
		}
	},
	tokenTypeIDs: func(row []int64, e tokenizer.Encoding, at int, _ int64) {
		clear(row)
		for i, id := range e.TypeIDs {
			row[at+i] = int64(id)
		}
	},
	poolingMask: func(row []int64, e tokenizer.Encoding, at int, _ int64) {
		clear(row)
		first := e.Unpooled
		if first >= len(e.IDs) {
			first = 0 // a text of nothing but its prompt is pooled whole
		}
		for i := first; i < len(e.IDs); i++ {
			row[at+i] = 1
		}
	},
}

// addSlots makes n slots, so that n runs may go at once.
func (e *Encoder) addSlots(n int) error {
	e.slots = make(chan *slot, n)
	for range n {
		s := &slot{output: ort.NewTensor[float32]()}
		for _, name := range e.session.Inputs {
			f, ok := fillers[name]
			if !ok {
				return fmt.Errorf("the graph has an input %q, which an encoder does not know how to fill", name)
			}
			s.inputs = append(s.inputs, ort.NewTensor[int64]())
			s.fill = append(s.fill, f)
		}
		e.slots <- s
	}
	return nil
}

func (s *slot) close() {
	for _, t := range s.inputs {
		t.Close()
	}
	s.output.Close()
}

// run computes the vectors of rows, padded to length on the given side, and hands them to use as
// [len(rows), dim] in the slot's memory.
func (e *Encoder) run(ctx context.Context, rows []tokenizer.Encoding, length int, side tokenizer.Side, use func([]float32)) error {
	s := <-e.slots
	defer func() { e.slots <- s }()
	pad := int64(e.model.Tokenizer.PadID())
	inputs := make([]ort.Value, len(s.inputs))
	for i, t := range s.inputs {
		data, err := t.Resize(int64(len(rows)), int64(length))
		if err != nil {
			return err
		}
		for r, enc := range rows {
			at := 0
			if side == tokenizer.Left {
				at = length - len(enc.IDs)
			}
			s.fill[i](data[r*length:(r+1)*length], enc, at, pad)
		}
		inputs[i] = t
	}
	if _, err := s.output.Resize(int64(len(rows)), int64(e.Dim)); err != nil {
		return err
	}
	if err := e.session.Run(ctx, inputs, []ort.Value{s.output}); err != nil {
		return err
	}
	use(s.output.Data())
	return nil
}
