package convert

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"graft/graph"
)

// plan says what each tensor of a checkpoint becomes. It answers the names that an architecture
// asks for (graph.Weights) and knows at the end which tensors nobody asked for.
type plan struct {
	source *source
	prefix string            // what stands before the architecture's names, "" or ending in "."
	taken  map[string]string // name asked for -> name in the checkpoint
}

// newPlan finds where the architecture's tensors begin: the prefix is what stands before the
// anchor, which every checkpoint of it has ("bert.", "model.", "" …).
func newPlan(s *source, anchor string) (*plan, error) {
	p := &plan{source: s, taken: map[string]string{}}
	var found []string
	for _, name := range s.names() {
		prefix, ok := strings.CutSuffix(name, anchor)
		if !ok {
			prefix, ok = strings.CutSuffix(name, underAdapters(anchor))
		}
		if ok && (prefix == "" || strings.HasSuffix(prefix, ".")) {
			found = append(found, prefix)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("checkpoint has no tensor %q, under any prefix (it holds %d tensors%s)", anchor, len(s.tensors), sample(s.names()))
	case 1:
		p.prefix = found[0]
		return p, nil
	}
	return nil, fmt.Errorf("checkpoint has several tensors %q: under the prefixes %q", anchor, found)
}

// sample names the first few of a list.
func sample(names []string) string {
	const most = 3
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(", such as %q", names[:min(most, len(names))])
}

// oldNames are endings that early checkpoints use for today's.
var oldNames = map[string]string{
	"LayerNorm.weight": "LayerNorm.gamma",
	"LayerNorm.bias":   "LayerNorm.beta",
}

// Tensor is the checkpoint's tensor called name, or by its old name, under the name asked for.
func (p *plan) Tensor(name string) (*graph.Tensor, bool) {
	t, ok := p.source.tensors[name]
	if !ok {
		for ending, old := range oldNames {
			if stem, is := strings.CutSuffix(name, ending); is {
				t, ok = p.source.tensors[stem+old]
			}
		}
	}
	if !ok {
		if t, ok = p.source.tensors[underAdapters(name)]; ok && p.source.tensors[strings.TrimSuffix(t.Name, "original")+"0.lora_A"] == nil {
			ok = false // another parametrization than LoRA, which is no choice but what the weight is made by
		}
	}
	if !ok {
		return nil, false
	}
	p.taken[name] = t.Name
	renamed := *t
	renamed.Name = name
	return &renamed, true
}

// buffers are tensors that libraries store though they are computed, not learned.
var buffers = regexp.MustCompile(`(^|\.)(position_ids|rotary_emb\.inv_freq|rotary_emb\.original_inv_freq)$`)

// unused are the tensors that nothing was made of, sorted: heads for other tasks, poolers.
func (p *plan) unused() []string {
	taken := map[string]bool{}
	for _, name := range p.taken {
		taken[name] = true
	}
	return slices.DeleteFunc(p.source.names(), func(name string) bool {
		return taken[name] || buffers.MatchString(name)
	})
}

// underAdapters is what torch.nn.utils.parametrize calls a module's weight to which adapters may be added, as
// jina-embeddings-v3 has one for each task: "original" is the weight without them.
func underAdapters(name string) string {
	stem, ok := strings.CutSuffix(name, ".weight")
	if !ok {
		return name
	}
	return stem + ".parametrizations.weight.original"
}

func isLeftOutAdapter(name string) bool {
	return strings.Contains(name, ".parametrizations.weight.0.lora_")
}

// leftOutAdapters counts the tensors of such adapters.
func leftOutAdapters(names []string) int {
	n := 0
	for _, name := range names {
		if isLeftOutAdapter(name) {
			n++
		}
	}
	return n
}

// block is what the names of a block's tensors have.
var block = regexp.MustCompile(`(^|\.)layers?\.\d+\.`)

// unreadInBlock is the first tensor of a block among names, adapters for tasks aside; "" where there is none. Published code has
// versions, which tell themselves by their tensors alone.
func unreadInBlock(names []string) string {
	for _, name := range names {
		if block.MatchString(name) && !isLeftOutAdapter(name) {
			return name
		}
	}
	return ""
}
