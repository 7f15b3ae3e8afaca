package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"graft/convert"
	"graft/graph"
	"graft/runtime"
	"graft/runtime/ort"
)

// blockTable is what each part of a model holds and takes.
type blockTable struct {
	Rows []blockRow `json:"rows"` // what comes before the blocks, each of them, what comes after
	Time string     `json:"time"` // how the shares were measured, or why they were not
}

// blockRow is one part of a model.
type blockRow struct {
	Block   string   `json:"block"` // its number, "before" or "after"
	Name    string   `json:"name,omitempty"`
	Weights int64    `json:"weights"`
	Bytes   int64    `json:"bytes"`
	Stored  string   `json:"stored_as"`
	Share   *float64 `json:"share_of_time,omitempty"` // from 0 to 1
}

func newBlockTable(m *convert.Model, layers []graph.Layer, provider string) (*blockTable, error) {
	bounds := graph.Bounds(layers)
	t := &blockTable{Rows: make([]blockRow, len(layers)+2)}
	t.Rows[0].Block, t.Rows[len(layers)+1].Block = "before", "after"
	for i, l := range layers {
		t.Rows[1+i].Block, t.Rows[1+i].Name = fmt.Sprint(i), l.Name
	}
	t.weigh(m.Graph.Graph, bounds)
	times, err := runtime.TimeBlocks(m.File, m.Graph, bounds, ort.Options{Provider: provider})
	if errors.Is(err, runtime.ErrOneNode) {
		t.Time = fmt.Sprintf("not measured: %v; --provider cpu tells", err)
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("inspect: %w", err)
	}
	sum := times.Sum()
	share := func(d time.Duration) *float64 {
		s := float64(d) / float64(sum)
		return &s
	}
	t.Rows[0].Share, t.Rows[len(layers)+1].Share = share(times.Before), share(times.After)
	for i, d := range times.Blocks {
		t.Rows[1+i].Share = share(d)
	}
	t.Time = fmt.Sprintf("%d runs of %d texts of %d tokens on %s, %.1f ms each",
		times.Runs, times.Texts, times.Tokens, provider, 1e3*sum.Seconds()/float64(times.Runs))
	return t, nil
}

// weigh counts the weights of each part. Shapes and other small integers are not weights.
func (t *blockTable) weigh(g *graph.Graph, bounds []string) {
	places := graph.FindPlaces(g, bounds, nil)
	parts := make([]graph.Graph, len(t.Rows))
	for v, place := range places.WeightPlaces(g) {
		if v.Init.DType != graph.Int64 {
			part := &parts[1+place]
			part.Initializers = append(part.Initializers, v)
		}
	}
	for i := range parts {
		c := graph.TakeCensus(&parts[i])
		t.Rows[i].Weights, t.Rows[i].Bytes, t.Rows[i].Stored = c.Parameters, c.Bytes, storedAs(c)
	}
}

func (t *blockTable) print(w io.Writer) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "block\tname\tweights\tstored as\tMiB\ttime")
	for _, r := range t.Rows {
		share := "-"
		if r.Share != nil {
			share = fmt.Sprintf("%.1f%%", 100**r.Share)
		}
		fmt.Fprintf(tab, "%s\t%s\t%d\t%s\t%.1f\t%s\n", r.Block, r.Name, r.Weights, r.Stored, float64(r.Bytes)/(1<<20), share)
	}
	tab.Flush()
	fmt.Fprintf(w, "time: %s\n", t.Time)
}
