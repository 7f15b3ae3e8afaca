package evaluate

import (
	"math"
	"math/big"
	"sync"
)

// ndcg is trec_eval's ndcg_cut: the gain is the grade itself (linear, not 2^grade - 1),
// the discount 1/log2(rank+1), and the ideal ranking is made of all judged documents.
var ndcg = &Metric{
	Name:       "ndcg",
	Doc:        "normalized discounted cumulative gain, linear gains",
	Abstention: true,
	Value: func(j *Judged, k int) float64 {
		ideal := discountedGain(j.Ideal, k)
		if ideal == 0 {
			return 0
		}
		return discountedGain(j.Grades, k) / ideal
	},
}

// discountedGain sums the positive grades of the first k ranks, discounted.
func discountedGain(grades []int, k int) float64 {
	discounts := rankDiscounts()
	sum := 0.0
	for i, grade := range grades[:min(k, len(grades))] {
		if grade > 0 {
			sum += float64(grade) / discounts[i]
		}
	}
	return sum
}

// rankDiscounts returns log2(i+2) for the i-th hit, up to the largest cutoff, correctly
// rounded as the C library's log2 is. math.Log2 is off by a unit in the last place for
// some ranks, which shows in nAUC where nDCG is almost constant.
var rankDiscounts = sync.OnceValue(func() []float64 {
	d := make([]float64, Cutoffs[len(Cutoffs)-1])
	ln2 := bigLog(big.NewFloat(2))
	for i := range d {
		fraction, exponent := math.Frexp(float64(i + 2))
		if fraction < 0.75 {
			fraction, exponent = fraction*2, exponent-1
		}
		l := bigLog(big.NewFloat(fraction))
		l.Quo(l, ln2)
		d[i], _ = l.Add(l, big.NewFloat(float64(exponent))).Float64()
	}
	return d
})

// bigLog is the natural logarithm of x in 0.75..2, good to a hundred bits:
// log x = 2 artanh z, z = (x-1)/(x+1), |z| <= 1/3.
func bigLog(x *big.Float) *big.Float {
	number := func(v float64) *big.Float { return new(big.Float).SetPrec(128).SetFloat64(v) }
	one := number(1)
	z := number(0).Quo(number(0).Sub(x, one), number(0).Add(x, one))
	square := number(0).Mul(z, z)
	power, sum := number(0).Set(z), number(0)
	for k := 1; k < 70; k += 2 {
		sum.Add(sum, number(0).Quo(power, number(float64(k))))
		power.Mul(power, square)
	}
	return sum.Mul(sum, number(2))
}
