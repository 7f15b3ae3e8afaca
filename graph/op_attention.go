package graph

import (
	"fmt"
	"slices"
)

// attentionOps are the attention operators of opset 23 and 24.
var attentionOps = []Op{
	{Name: "Attention", Since: 23, In: between(3, 6), Out: between(1, 4), Infer: inferAttention},
	{Name: "Attention", Since: 24, In: between(3, 7), Out: between(1, 4), Infer: inferAttention},
	{Name: "RotaryEmbedding", Since: 23, In: between(3, 4), Out: one, Infer: inferRotary},
}

// heads splits the last axis of a 3-D s into [batch, heads, sequence, size]; 4-D shapes stay.
func heads(s Shape, n int64, what string) (Shape, error) {
	switch {
	case s == nil || len(s) == 4:
		return s, nil
	case len(s) != 3:
		return nil, fmt.Errorf("%s has shape %v, want rank 3 or 4", what, s)
	case n < 1:
		return nil, fmt.Errorf("%s has rank 3 and the number of its heads is not given", what)
	case s[2].Known() && s[2].Size%n != 0:
		return nil, fmt.Errorf("%s of shape %v does not split into %d heads", what, s, n)
	}
	return Shape{s[0], Size(n), s[1], dimExpr(s[2]).over(constant(n)).dim()}, nil
}

// inferAttention follows the Attention operator: Y, then present key and value, then the scores.
func inferAttention(f *Inference) error {
	qn, kvn := f.Node.Int("q_num_heads", 0), f.Node.Int("kv_num_heads", 0)
	q, err := heads(f.Shape(0), qn, "query")
	if err != nil {
		return err
	}
	k, err := heads(f.Shape(1), kvn, "key")
	if err != nil {
		return err
	}
	v, err := heads(f.Shape(2), kvn, "value")
	if err != nil {
		return err
	}
	if q == nil || k == nil || v == nil {
		for i := range f.out {
			f.Set(i, f.Elem(min(i, 2)), nil)
		}
		return nil
	}
	if _, ok := unify(q[3], k[3]); !ok {
		return fmt.Errorf("head sizes %v of query %v and %v of key %v differ", q[3], f.Shape(0), k[3], f.Shape(1))
	}
	total := k[2]
	if past := f.Shape(4); len(past) == 4 {
		total = dimExpr(past[2]).plus(dimExpr(k[2])).dim()
	}
	if len(f.Shape(0)) == 3 {
		f.SetShape(0, Shape{q[0], q[2], dimExpr(q[1]).times(dimExpr(v[3])).dim()})
	} else {
		f.SetShape(0, Shape{q[0], q[1], q[2], v[3]})
	}
	f.Set(1, f.Elem(1), Shape{k[0], k[1], total, k[3]})
	f.Set(2, f.Elem(2), Shape{v[0], v[1], total, v[3]})
	f.Set(3, f.Elem(0), Shape{q[0], q[1], q[2], total})
	return nil
}

// inferRotary keeps the type and checks that a 3-D input splits into heads.
func inferRotary(f *Inference) error {
	if s := f.Shape(0); len(s) == 3 {
		if _, err := heads(s, f.Node.Int("num_heads", 0), "input"); err != nil {
			return err
		}
	}
	f.SetShape(0, slices.Clone(f.Shape(0)))
	return nil
}
