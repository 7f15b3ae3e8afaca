//go:build !lite

package train

import "fmt"

// scaler is float16's loss scale (Micikevicius et al. 2018, section 3.2): small gradients are lifted into float16's
// range, a step whose gradients overflow is left out and halves the scale, and many good steps in a row double it.
type scaler struct {
	Scale float64 `json:"scale"`
	Good  int     `json:"good"` // steps in a row that did not overflow
}

const (
	firstScale = 32768 // the reference's scale_loss
	growAfter  = 2000  // torch's growth_interval
	leastScale = 1     // below it, overflow has another cause
)

func newScaler() *scaler { return &scaler{Scale: firstScale} }

// good counts a step whose gradients were finite.
func (s *scaler) good() {
	if s.Good++; s.Good == growAfter {
		s.Scale, s.Good = s.Scale*2, 0
	}
}

// overflow halves the scale. The error says that halving does not help.
func (s *scaler) overflow() error {
	s.Scale, s.Good = s.Scale/2, 0
	if s.Scale < leastScale {
		return fmt.Errorf("gradients overflow float16 even at a loss scale of %g", 2*s.Scale)
	}
	return nil
}
