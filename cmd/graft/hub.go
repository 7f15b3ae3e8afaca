package main

import (
	"context"
	"io"
	"os"

	"graft/convert"
)

// openModel is convert.Open; what it fetches from the hub is shown on log as it comes, and ends with ctx.
func openModel(ctx context.Context, path string, o convert.OpenOptions, log io.Writer) (*convert.Model, error) {
	p := newProgress(log, "MB")
	defer p.done()
	o.Context, o.Hub = ctx, hubOf(p)
	return convert.Open(path, o)
}

// hubOf is the hub as the environment sets it up, whose downloads p shows.
func hubOf(p *progress) *convert.Hub {
	h := convert.HubFromEnv(os.Getenv)
	h.Progress = func(file string, done, total int64) {
		p.update("fetch "+file, int(done/1e6), int(total/1e6))
	}
	return h
}
