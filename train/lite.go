//go:build lite

package train

import (
	"context"

	"graft/train/torch"
)

// Run returns torch.ErrLite.
func Run(context.Context, Model, Options, Hooks) (*Result, error) { return nil, torch.ErrLite }
