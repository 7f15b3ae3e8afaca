//go:build lite

package train

import (
	"context"

	"graft/train/torch"
)

// Run returns torch.ErrLite.
func Run(context.Context, Model, Options, Hooks) (*Result, error) { return nil, torch.ErrLite }

// Gradients returns torch.ErrLite.
func Gradients(context.Context, Model, Options, Hooks, []string, func([][]float32) error) error {
	return torch.ErrLite
}
