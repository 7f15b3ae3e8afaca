package main

import (
	"errors"
	"slices"
	"syscall"

	"graft/evaluate"
	"graft/mine"
	"graft/runtime"
	"graft/train/torch"
)

// hints say what to type instead, for errors of the libraries.
var hints = []struct {
	is   func(error) bool
	text string
}{
	{func(err error) bool { return errors.Is(err, runtime.ErrNoTokenizer) }, "put tokenizer.json beside the model, or name it with --tokenizer FILE; of a slow tokenizer's files, transformers' AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) makes one"},
	{func(err error) bool { return errors.Is(err, evaluate.ErrNoDataset) }, "name the folder of the data with --data DIR"},
	{func(err error) bool { return errors.Is(err, evaluate.ErrOtherSettings) }, "add --overwrite to replace it, or name another folder with -o"},
	{func(err error) bool { var n *mine.NoneError; return errors.As(err, &n) }, "take nearer ranks with --range, give more candidates with --corpus, or loosen the limits of the scores"},
	{diskFull, "free space where the output goes, or name another folder with -o; an evaluation goes on where it stopped"},
	{func(err error) bool { return errors.Is(err, torch.ErrLite) }, "make build builds graft with libtorch"},
	{func(err error) bool { var p *runtime.PrecisionError; return errors.As(err, &p) }, "use --precision fp32, or export the model with graft, which rewrites masks that do not survive bf16"},
}

// diskFull reports whether the disk, the user's share of it, or what a process may write is used up.
func diskFull(err error) bool {
	return slices.ContainsFunc([]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}, func(full error) bool { return errors.Is(err, full) })
}
