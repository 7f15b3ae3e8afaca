package quantize

import "math"

// bins is how finely a distribution is counted.
const bins = 2048

// histogram counts numbers in bins of equal width between limits.
type histogram struct {
	limits
	counts [bins]float64
	total  float64
}

func newHistogram(l limits) *histogram { return &histogram{limits: l} }

// width of a bin.
func (h *histogram) width() float64 { return (float64(h.high) - float64(h.low)) / bins }

// at is the number in the middle of a bin.
func (h *histogram) at(bin int) float64 { return float64(h.low) + (float64(bin)+0.5)*h.width() }

func (h *histogram) add(x []float32) {
	w := h.width()
	if w == 0 {
		return
	}
	for _, f := range x {
		i := int((float64(f) - float64(h.low)) / w)
		h.counts[min(max(i, 0), bins-1)]++
	}
	h.total += float64(len(x))
}

// outside is the part of the numbers that percentile cuts off at each end.
const outside = 1e-5

func percentile(h *histogram) limits {
	first, last := 0, bins-1
	for below := h.counts[first]; below < outside*h.total && first < last; below += h.counts[first] {
		first++
	}
	for above := h.counts[last]; above < outside*h.total && first < last; above += h.counts[last] {
		last--
	}
	return h.between(first, last)
}

// between are the limits of the bins first to last.
func (h *histogram) between(first, last int) limits {
	w := h.width()
	return limits{float32(float64(h.low) + float64(first)*w), float32(float64(h.low) + float64(last+1)*w)}
}

// steps is how many ranges are tried: the whole one cut by so many equal parts at either end.
const steps = 64

// leastSquares tries cuts at the end that lies further out, then at the other, and keeps the range
// of least squared error: of rounding within, of cutting off without.
func leastSquares(h *histogram) limits { return h.search(squaredError) }

// entropy does the same for the divergence between the distribution and what is left of it.
func entropy(h *histogram) limits { return h.search(divergence) }

// search keeps, end by end, the cut of least loss.
func (h *histogram) search(loss func(*histogram, int, int) float64) limits {
	first, last := 0, bins-1
	const part = bins / steps
	ends := []bool{false, true}
	if -h.low > h.high {
		ends = []bool{true, false}
	}
	for _, lower := range ends {
		best, at := math.Inf(1), 0
		for cut := range steps - 2 {
			f, l := first, last-cut*part
			if lower {
				f, l = first+cut*part, last
			}
			if l-f < codes {
				break
			}
			if e := loss(h, f, l); e < best {
				best, at = e, cut
			}
		}
		if lower {
			first += at * part
		} else {
			last -= at * part
		}
	}
	return h.between(first, last)
}

// codes of 8 bits.
const codes = 256

// squaredError is the sum of squared errors where the bins first to last are told apart.
func squaredError(h *histogram, first, last int) float64 {
	l := h.between(first, last)
	low, high := float64(l.low), float64(l.high)
	step := (high - low) / (codes - 1)
	sum := 0.0
	for i, n := range h.counts {
		if n == 0 {
			continue
		}
		if i >= first && i <= last {
			sum += n * step * step / 12 // of rounding, which is uniform within a step
			continue
		}
		x := h.at(i)
		d := x - min(max(x, low), high)
		sum += n * d * d
	}
	return sum
}

// divergence of Kullback and Leibler between the distribution, what lies beyond first and last put
// there, and itself spread evenly within each code.
func divergence(h *histogram, first, last int) float64 {
	p := append([]float64{}, h.counts[first:last+1]...)
	for i, n := range h.counts {
		switch {
		case i < first:
			p[0] += n
		case i > last:
			p[len(p)-1] += n
		}
	}
	var total, sum float64
	spread := make([]float64, len(p))
	for c := range codes {
		from, to := c*len(p)/codes, (c+1)*len(p)/codes
		var n, full float64
		for i := from; i < to; i++ {
			n += h.counts[first+i]
			if p[i] > 0 {
				full++
			}
		}
		for i := from; i < to; i++ {
			if p[i] > 0 {
				spread[i] = n / full
			}
		}
		total += n
	}
	for i, n := range p {
		if n == 0 {
			continue
		}
		q := max(spread[i]/total, 1e-12)
		sum += n / h.total * math.Log(n/h.total/q)
	}
	return sum
}
