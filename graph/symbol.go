package graph

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// expr is an integer polynomial in dimension symbols, such as batch*sequence or past + 1:
// terms in canonical order, no two with the same symbols, none with coefficient 0.
// A nil expr is unknown; an empty one is 0.
type expr []term

type term struct {
	coef int64
	syms []string // sorted, repeated for powers
}

func constant(n int64) expr {
	if n == 0 {
		return expr{}
	}
	return expr{{coef: n}}
}

// constants makes a list of known integers.
func constants(ns ...int64) []expr {
	out := make([]expr, len(ns))
	for i, n := range ns {
		out[i] = constant(n)
	}
	return out
}

// value returns the integer that e is, and whether it is one.
func (e expr) value() (int64, bool) {
	switch {
	case e == nil:
		return 0, false
	case len(e) == 0:
		return 0, true
	case len(e) == 1 && len(e[0].syms) == 0:
		return e[0].coef, true
	}
	return 0, false
}

// integers returns the values of a list whose elements are all known integers.
func integers(list []expr) ([]int64, bool) {
	if list == nil {
		return nil, false
	}
	out := make([]int64, len(list))
	for i, e := range list {
		n, ok := e.value()
		if !ok {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// dimExpr is the size of d as an expression.
func dimExpr(d Dim) expr {
	switch {
	case d.Known():
		return constant(d.Size)
	case d.Symbol != "":
		return parseExpr(d.Symbol)
	}
	return nil
}

func shapeExprs(s Shape) []expr {
	if s == nil {
		return nil
	}
	out := make([]expr, len(s))
	for i, d := range s {
		out[i] = dimExpr(d)
	}
	return out
}

// dim is e as a dimension: a size, a symbol, or unknown.
func (e expr) dim() Dim {
	if n, ok := e.value(); ok {
		if n < 0 {
			return AnyDim
		}
		return Size(n)
	}
	if e == nil {
		return AnyDim
	}
	return Symbol(e.String())
}

func (e expr) String() string {
	if e == nil {
		return "?"
	}
	if len(e) == 0 {
		return "0"
	}
	var b strings.Builder
	for i, t := range e {
		c := t.coef
		switch {
		case i > 0 && c < 0:
			b.WriteString(" - ")
			c = -c
		case i > 0:
			b.WriteString(" + ")
		}
		factors := t.syms
		if c != 1 || len(t.syms) == 0 {
			factors = append([]string{strconv.FormatInt(c, 10)}, t.syms...)
		}
		b.WriteString(strings.Join(factors, "*"))
	}
	return b.String()
}

// parseExpr reads a symbol that String wrote (or that an exporter wrote alike, such as
// "past_sequence_length + 1"); any other text is one symbol of its own.
func parseExpr(s string) expr {
	whole := expr{{coef: 1, syms: []string{s}}}
	if !strings.ContainsAny(s, " *") {
		return whole
	}
	sum := expr{}
	sign := int64(1)
	for _, word := range strings.Split(s, " ") {
		switch word {
		case "+":
			sign = 1
			continue
		case "-":
			sign = -1
			continue
		}
		t := term{coef: sign}
		for _, f := range strings.Split(word, "*") {
			n, err := strconv.ParseInt(f, 10, 64)
			switch {
			case f == "":
				return whole
			case err == nil:
				t.coef *= n
			default:
				t.syms = append(t.syms, f)
			}
		}
		slices.Sort(t.syms)
		sum = sum.plus(expr{t})
	}
	if sum.String() != s {
		return whole
	}
	return sum
}

// canonical sorts and merges terms; nil where a coefficient overflows.
func canonical(terms []term) expr {
	slices.SortFunc(terms, compareTerms)
	out := expr{}
	for _, t := range terms {
		if n := len(out); n > 0 && slices.Equal(out[n-1].syms, t.syms) {
			sum := out[n-1].coef + t.coef
			if (sum > out[n-1].coef) != (t.coef > 0) {
				return nil
			}
			out[n-1].coef = sum
			if sum == 0 {
				out = out[:n-1]
			}
			continue
		}
		if t.coef != 0 {
			out = append(out, t)
		}
	}
	return out
}

// compareTerms orders by degree, highest first, then by name.
func compareTerms(a, b term) int {
	if len(a.syms) != len(b.syms) {
		return len(b.syms) - len(a.syms)
	}
	return slices.Compare(a.syms, b.syms)
}

func (e expr) plus(f expr) expr {
	if e == nil || f == nil {
		return nil
	}
	return canonical(slices.Concat(e, f))
}

func (e expr) minus(f expr) expr { return e.plus(f.times(constant(-1))) }

func (e expr) times(f expr) expr {
	if e == nil || f == nil {
		return nil
	}
	var terms []term
	for _, a := range e {
		for _, b := range f {
			c, ok := multiply(a.coef, b.coef)
			if !ok {
				return nil
			}
			syms := slices.Concat(a.syms, b.syms)
			slices.Sort(syms)
			terms = append(terms, term{c, syms})
		}
	}
	return canonical(terms)
}

func multiply(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	c := a * b
	if c/b != a || (a == -1 && b == math.MinInt64) || (b == -1 && a == math.MinInt64) {
		return 0, false
	}
	return c, true
}

// over is e/f where the division leaves no rest, by long division on leading terms; otherwise unknown.
func (e expr) over(f expr) expr {
	if e == nil || len(f) == 0 {
		return nil
	}
	quotient, rest := expr{}, e
	const mostSteps = 64
	for range mostSteps {
		if len(rest) == 0 {
			return quotient
		}
		t, ok := divideTerm(rest[0], f[0])
		if !ok {
			return nil
		}
		quotient = quotient.plus(expr{t})
		if rest = rest.minus(f.times(expr{t})); rest == nil {
			return nil
		}
	}
	return nil
}

func divideTerm(a, b term) (term, bool) {
	if b.coef == 0 || a.coef%b.coef != 0 {
		return term{}, false
	}
	left := slices.Clone(a.syms)
	for _, s := range b.syms {
		i := slices.Index(left, s)
		if i < 0 {
			return term{}, false
		}
		left = slices.Delete(left, i, i+1)
	}
	return term{a.coef / b.coef, left}, true
}

func (e expr) equal(f expr) bool {
	return e != nil && f != nil && slices.EqualFunc(e, f, func(a, b term) bool { return compareTerms(a, b) == 0 && a.coef == b.coef })
}

// sign tells what is known of e, given that symbols are sizes: -1 negative, +1 zero or more,
// 0 not known.
func (e expr) sign() int {
	if e == nil {
		return 0
	}
	for _, t := range e {
		if t.coef < 0 {
			if n, ok := e.value(); ok && n < 0 {
				return -1
			}
			return 0
		}
	}
	return 1
}

// product multiplies all sizes of a shape.
func product(list []expr) expr {
	p := constant(1)
	for _, e := range list {
		p = p.times(e)
	}
	return p
}
