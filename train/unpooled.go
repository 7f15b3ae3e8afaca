//go:build !lite

package train

import (
	"context"
	"fmt"
)

// unpooled is text.unpooled of the texts behind an instruction.
func (m *Model) unpooled(instruction string) (int, error) {
	if m.Unpooled == nil {
		return 0, nil
	}
	return m.Unpooled(instruction)
}

// refuseOwnPrompts refuses rows with a prompt of their own where the model leaves prompts out of its pooling: the tokens
// of a text do not say where its prompt ends.
func (r *run) refuseOwnPrompts(ctx context.Context) error {
	if r.model.Unpooled == nil {
		return nil
	}
	n := 0
	for row, err := range r.data.Rows(ctx) {
		if err != nil {
			return fmt.Errorf("read training data: %w", err)
		}
		if n++; row.Prompt != nil {
			return fmt.Errorf("read training data: row %d has a prompt of its own, which this model would leave out of its pooling; "+
				"training does that for one instruction alone, --query-instruction-for-retrieval", n)
		}
	}
	return nil
}

// leaveInstructionsOut tells the step which tokens the model does not pool.
func (r *run) leaveInstructionsOut() (err error) {
	if r.arithmetic.queryUnpooled, err = r.model.unpooled(r.options.QueryInstruction); err != nil {
		return err
	}
	r.arithmetic.passageUnpooled, err = r.model.unpooled(r.options.PassageInstruction)
	return err
}
