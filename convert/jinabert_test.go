package convert

import (
	"math"
	"testing"
)

// The slopes are those of the paper's authors (Press et al. 2021) for a number of heads that is a power of two, and for one that is not.
func TestALiBiSlopes(t *testing.T) {
	for heads, powers := range map[int][]float64{
		4:  {-2, -4, -6, -8},
		8:  {-1, -2, -3, -4, -5, -6, -7, -8},
		12: {-1, -2, -3, -4, -5, -6, -7, -8, -0.5, -1.5, -2.5, -3.5},
		1:  {-8},
		3:  {-4, -8, -2},
	} {
		got := alibiSlopes(heads)
		if len(got) != heads {
			t.Fatalf("%d slopes, want %d", len(got), heads)
		}
		for i, p := range powers {
			if want := -math.Exp2(p); math.Abs(float64(got[i])-want) > 1e-7*-want {
				t.Errorf("%d heads: slope %d is %g, want %g", heads, i, got[i], want)
			}
		}
	}
}
