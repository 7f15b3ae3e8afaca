package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// BlockTimes is how long each part of a model takes.
type BlockTimes struct {
	Blocks []time.Duration // those of the graph, first to last
	Before time.Duration   // what comes before the first: embeddings, masks
	After  time.Duration   // what comes after the last: pooling, normalization
	Runs   int             // that the times are the sum of
	Texts  int             // in each run
	Tokens int             // of each text
}

// ErrOneNode says that a provider runs whole blocks as one node.
var ErrOneNode = errors.New("the provider compiles parts of the graph into single nodes, whose time is not known by blocks")

// nodeByNode are the providers that do not compile parts of a graph.
var nodeByNode = []string{"cpu", "cuda"}

// Each text has the length of a paragraph, and there are enough of them to use all threads.
const (
	blockRuns   = 10
	blockTexts  = 8
	blockTokens = 64
)

// TimeBlocks runs an ONNX file on a provider, with ONNX Runtime's optimizations, and sums what its profile says of
// the nodes of each block. m is the file's graph, or with no
// file one that is built or changed, and bounds are graph.Bounds of its blocks; nodes that the
// optimizer made are placed by what they are computed from.
func TimeBlocks(file string, m *graph.Model, bounds []string, o ort.Options) (*BlockTimes, error) {
	if !slices.Contains(nodeByNode, o.Provider) {
		return nil, ErrOneNode
	}
	before := graph.FindPlaces(m.Graph, bounds, nil)
	for _, name := range bounds {
		if _, ok := before.Values[name]; !ok {
			return nil, fmt.Errorf("time blocks: %q, the input of a block, is not in the file", name)
		}
	}
	dir, err := os.MkdirTemp("", "graft-blocks-*")
	if err != nil {
		return nil, fmt.Errorf("time blocks: %w", err)
	}
	defer os.RemoveAll(dir)
	if file, err = profiled(dir, file, m); err != nil {
		return nil, fmt.Errorf("time blocks: %w", err)
	}
	info, err := ort.ReadInfo(file)
	if err != nil {
		return nil, err
	}
	inputs, err := info.DummyInputs(blockTexts, blockTokens)
	if err != nil {
		return nil, err
	}
	o.OptimizedModel = filepath.Join(dir, "optimized.onnx")
	o.Config = map[string]string{"session.optimized_model_external_initializers_file_name": "optimized.data"} // a model's weights may be more than a file of messages can hold
	placed, err := ort.Profile(file, o, inputs, blockRuns)
	if err != nil {
		return nil, err
	}
	optimized, err := onnx.Read(o.OptimizedModel)
	if err != nil {
		return nil, fmt.Errorf("time blocks: %w", err)
	}
	t := &BlockTimes{Blocks: make([]time.Duration, len(bounds)-1), Runs: blockRuns, Texts: blockTexts, Tokens: blockTokens}
	t.add(placed, graph.FindPlaces(optimized.Graph, bounds, before.Values))
	return t, nil
}

// profiled is a file whose nodes all have names, by which a profile tells of them: file itself where it has, else a
// copy of the graph, lowered where it is graft's own and was never written.
func profiled(dir, file string, m *graph.Model) (string, error) {
	c := m.Clone()
	if file == "" && m.ProducerName == producer {
		if err := pass.Simplify(c); err != nil {
			return "", err
		}
		if err := pass.Lower(c, pass.LowerOptions{}); err != nil {
			return "", err
		}
	}
	unnamed := 0
	for _, n := range c.Graph.Nodes {
		if n.Name == "" {
			unnamed++
			n.Name = fmt.Sprintf("graft_unnamed_%d", unnamed)
		}
	}
	if file != "" && unnamed == 0 {
		return file, nil
	}
	copied := filepath.Join(dir, "named.onnx")
	return copied, onnx.Write(copied, c, onnx.Options{})
}

// add sums the times of nodes by their places.
func (t *BlockTimes) add(placed []ort.Placement, places graph.Places) {
	byName := map[string]int{}
	for n, place := range places.Nodes {
		byName[n.Name] = place
	}
	last := -1 // a node without a name of its own counts with the one that ran before it
	for _, n := range placed {
		place, ok := byName[n.Node]
		if !ok {
			place = last
		}
		switch last = place; {
		case place < 0:
			t.Before += n.Time
		case place < len(t.Blocks):
			t.Blocks[place] += n.Time
		default:
			t.After += n.Time
		}
	}
}

// Sum is the time of all.
func (t *BlockTimes) Sum() time.Duration {
	sum := t.Before + t.After
	for _, d := range t.Blocks {
		sum += d
	}
	return sum
}
