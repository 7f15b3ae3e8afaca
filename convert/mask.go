package convert

import "graft/graph"

// Masks makes the attention masks of a model from its attention_mask: bool, true where a query
// may attend to a key. Each kind is computed once and shared by all layers.
//
// In the masks that look at the query's place, every token may attend to itself, so that no row is
// empty: a padding token before the text (or outside of every window) would otherwise get the
// softmax of nothing, and its NaN would spread through the values of the next layer.
type Masks struct {
	b         *graph.Builder
	Attention *graph.Value // int64 [batch, sequence], 1 at real tokens

	padding *graph.Value
	offset  *graph.Value
	made    map[maskKind]*graph.Value
}

// maskKind says which keys a query sees: those at most Before places before it and at most After
// places after it; -1 stands for any number.
type maskKind struct{ Before, After int }

func newMasks(b *graph.Builder, attention *graph.Value) *Masks {
	return &Masks{b: b.Scope("mask"), Attention: attention, made: map[maskKind]*graph.Value{}}
}

// Padding lets every query see all real tokens: [batch, 1, 1, sequence].
func (m *Masks) Padding() *graph.Value {
	if m.padding == nil {
		m.padding = m.b.Unsqueeze(m.b.Cast(m.Attention, graph.Bool), 1, 2)
	}
	return m.padding
}

// Causal lets query i see the real tokens j ≤ i: [batch, 1, sequence, sequence].
func (m *Masks) Causal() *graph.Value { return m.near(maskKind{-1, 0}) }

// CausalWindow lets query i see the real tokens i-size < j ≤ i.
func (m *Masks) CausalWindow(size int) *graph.Value { return m.near(maskKind{size - 1, 0}) }

// Window lets query i see the real tokens |i-j| ≤ reach.
func (m *Masks) Window(reach int) *graph.Value { return m.near(maskKind{reach, reach}) }

func (m *Masks) near(kind maskKind) *graph.Value {
	if v := m.made[kind]; v != nil {
		return v
	}
	b, d := m.b, m.Offset()
	var see *graph.Value // [sequence, sequence]
	if kind.After >= 0 {
		see = b.Op("LessOrEqual", []*graph.Value{d, b.Int64(int64(kind.After))})
	}
	if kind.Before >= 0 {
		late := b.Op("GreaterOrEqual", []*graph.Value{d, b.Int64(int64(-kind.Before))})
		see = and(b, see, late)
	}
	self := b.Op("Equal", []*graph.Value{d, b.Int64(0)})
	v := b.Op("Or", []*graph.Value{and(b, see, m.Padding()), self})
	m.made[kind] = v
	return v
}

// Offset is key place - query place: int64 [sequence, sequence].
func (m *Masks) Offset() *graph.Value {
	if m.offset == nil {
		n := m.b.Squeeze(m.b.Size(m.Attention, 1), 0)
		place := m.b.Op("Range", []*graph.Value{m.b.Int64(0), n, m.b.Int64(1)})
		m.offset = m.b.Sub(m.b.Unsqueeze(place, 0), m.b.Unsqueeze(place, 1))
	}
	return m.offset
}

func and(b *graph.Builder, x, y *graph.Value) *graph.Value {
	if x == nil {
		return y
	}
	return b.Op("And", []*graph.Value{x, y})
}

// positions counts the real tokens before each token: 0 at the first real token of each text,
// wherever the padding is, and 0 at padding. int64 [batch, sequence].
func positions(b *graph.Builder, attention *graph.Value) *graph.Value {
	b = b.Scope("positions")
	count := b.Op("CumSum", []*graph.Value{attention, b.Int64(1)})
	return b.Mul(b.Sub(count, b.Int64(1)), attention)
}
