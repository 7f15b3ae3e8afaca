//go:build !lite

package train

import (
	"context"
	"errors"
)

// Run trains.
func Run(ctx context.Context, m Model, o Options, h Hooks) (*Result, error) {
	return nil, errors.New("train: not yet")
}
