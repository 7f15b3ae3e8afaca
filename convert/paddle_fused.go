package convert

import (
	"fmt"
	"strings"

	"graft/graph"
)

// paddleFused are the modules that PaddleNLP's decoders have in the place of several where fuse_attention_qkv or fuse_attention_ffn was
// set, and what their rows (columns, as PaddleNLP keeps them) are of: heads of query, key and value, group after group, the queries of a group
// before its key and value; or all of the gate and then all of up (paddlenlp/transformers/conversion_utils.py, split_param_func).
var paddleFused = map[string]func(p *paddleModel, rows int64) (map[string][]rowRange, error){
	"self_attn.qkv_proj":     (*paddleModel).queryKeyValue,
	"mlp.gate_up_fused_proj": (*paddleModel).gateUp,
}

// split takes a tensor apart that is of several modules; others are themselves. t has rows for the outputs.
func (p *paddleModel) split(name string, t *graph.Tensor) ([]*graph.Tensor, error) {
	for fused, ranges := range paddleFused {
		before, kind, ok := strings.Cut(name, "."+fused+".")
		if !ok || len(t.Shape) == 0 {
			continue
		}
		modules, err := ranges(p, t.Shape[0])
		if err != nil {
			return nil, err
		}
		var parts []*graph.Tensor
		for module, rows := range modules {
			x := *t
			x.Name = before + "." + module + "." + kind
			x.Shape = append([]int64{countRows(rows)}, t.Shape[1:]...)
			x.Data = rowsOf(t.Bytes, t.Size()/max(1, t.Shape[0]), rows)
			parts = append(parts, &x)
		}
		return parts, nil
	}
	t.Name = name
	return []*graph.Tensor{t}, nil
}

func (p *paddleModel) queryKeyValue(rows int64) (map[string][]rowRange, error) {
	heads, kv := p.number("num_attention_heads"), p.number("num_key_value_heads")
	if kv == 0 {
		kv = heads
	}
	if heads < 1 || kv < 1 || heads > rows || heads%kv != 0 || rows%(heads+2*kv) != 0 {
		return nil, fmt.Errorf("%d rows are not those of %d heads of query and %d of key and value", rows, heads, kv)
	}
	group, size := heads/kv, rows/(heads+2*kv)
	parts := map[string][]rowRange{}
	for i := range kv {
		at := i * (group + 2) * size
		for _, part := range []struct {
			module string
			rowRange
		}{
			{"self_attn.q_proj", rowRange{at, group * size}},
			{"self_attn.k_proj", rowRange{at + group*size, size}},
			{"self_attn.v_proj", rowRange{at + (group+1)*size, size}},
		} {
			parts[part.module] = append(parts[part.module], part.rowRange)
		}
	}
	return parts, nil
}

func (p *paddleModel) gateUp(rows int64) (map[string][]rowRange, error) {
	if rows%2 != 0 {
		return nil, fmt.Errorf("%d rows are not those of two modules", rows)
	}
	return map[string][]rowRange{"mlp.gate_proj": {{0, rows / 2}}, "mlp.up_proj": {{rows / 2, rows / 2}}}, nil
}
