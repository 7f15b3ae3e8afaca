package graph

import (
	"math"
	"testing"
)

func TestExprPrintsAndParses(t *testing.T) {
	b, s := parseExpr("batch"), parseExpr("sequence")
	for want, e := range map[string]expr{
		"batch*sequence":         s.times(b),
		"2*batch":                b.plus(b),
		"batch + sequence":       s.plus(b),
		"sequence - 1":           s.minus(constant(1)),
		"0":                      b.minus(b),
		"batch*sequence + batch": b.times(s.plus(constant(1))),
		"batch*batch":            b.times(b),
		"?":                      b.times(nil),
	} {
		if e.String() != want {
			t.Errorf("%s, want %s", e, want)
		}
		if e != nil && !parseExpr(want).equal(e) && want != "0" {
			t.Errorf("%s is read as %v", want, parseExpr(want))
		}
	}
	// What String would not write is one symbol, kept as it is.
	for _, name := range []string{"sequence*batch", "a b", "floor(n / 2)", "batch-size", "1 + n", "2*3", " ", "*"} {
		if e := parseExpr(name); len(e) != 1 || len(e[0].syms) != 1 || e.dim() != Symbol(name) {
			t.Errorf("%q is read as %v, want one symbol", name, e)
		}
	}
}

func TestExprDivides(t *testing.T) {
	e := parseExpr
	for _, c := range []struct{ a, b, want expr }{
		{e("384*batch*sequence"), constant(384), e("batch*sequence")},
		{e("384*batch*sequence"), e("12*batch"), e("32*sequence")},
		{e("batch*sequence + batch"), e("sequence + 1"), e("batch")},
		{e("batch"), e("batch"), constant(1)},
		{constant(0), e("batch"), constant(0)},
		{e("batch"), constant(2), nil},
		{e("batch"), e("sequence"), nil},
		{e("batch"), constant(0), nil},
		{e("batch"), nil, nil},
	} {
		got := c.a.over(c.b)
		if (got == nil) != (c.want == nil) || got != nil && !got.equal(c.want) {
			t.Errorf("%v / %v is %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// What does not fit in an int64 is unknown.
func TestExprOverflow(t *testing.T) {
	big := constant(math.MaxInt64)
	for _, e := range []expr{big.times(constant(2)), big.plus(constant(1)), constant(math.MinInt64).times(constant(-1)), big.times(parseExpr("n")).times(constant(3))} {
		if e != nil {
			t.Errorf("%v, want unknown", e)
		}
	}
}
