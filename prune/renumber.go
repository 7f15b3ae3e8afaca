package prune

import (
	"fmt"
	"regexp"
	"strings"

	"graft/graph"
)

// renumber gives the weights, nodes and values of layers their new names. What a layer computed for
// all, and what is therefore left of a layer that is gone, keeps its name where that is free.
func renumber(g *graph.Graph, names map[string]string) {
	r := newRenaming(names)
	if r == nil {
		return
	}
	taken := map[string]bool{}
	for _, list := range [][]*graph.Value{g.Inputs, g.Outputs} { // the contract
		for _, v := range list {
			taken[v.Name] = true
		}
	}
	done := map[*graph.Value]bool{}
	rename := func(v *graph.Value) {
		if v == nil || done[v] || v.Name == "" || g.IsOutput(v) || g.Input(v.Name) == v {
			return
		}
		done[v] = true
		v.Name = free(taken, r.name(v.Name))
		if v.Init != nil {
			v.Init.Name = v.Name
		}
	}
	for _, gone := range []bool{false, true} { // first the weights that have the names of the checkpoint
		for _, v := range g.Initializers {
			if r.gone(v.Name) == gone {
				rename(v)
			}
		}
	}
	nodes := map[string]bool{}
	g.Walk(func(n *graph.Node) {
		if n.Name != "" {
			n.Name = free(nodes, r.name(n.Name))
		}
		for _, v := range n.Outputs {
			rename(v)
		}
	})
}

// free is name, or name with a number where that is taken; it is taken then.
func free(taken map[string]bool, name string) string {
	unique := name
	for i := 1; taken[unique]; i++ {
		unique = fmt.Sprintf("%s_%d", name, i)
	}
	taken[unique] = true
	return unique
}

// renaming changes a layer's number in a name, wherever the exporter put it: a weight's
// "encoder.layer.3.…", a node's "/encoder/layer.3/…" or "encoder/layer/3/…".
type renaming struct {
	layer *regexp.Regexp    // the part that counts layers; its group is the number
	to    map[string]string // number -> new number, "" where the layer is gone
}

// newRenaming is nil where the layers have no names.
func newRenaming(names map[string]string) *renaming {
	r := &renaming{to: map[string]string{}}
	for old, new := range names {
		stem, number := splitName(old)
		_, r.to[number] = splitName(new)
		kind := stem[strings.LastIndexByte(stem, '.')+1:]
		r.layer = regexp.MustCompile(`(?:^|[./])` + regexp.QuoteMeta(kind) + `[./]([0-9]+)(?:[./]|$)`)
	}
	if r.layer == nil {
		return nil
	}
	return r
}

// splitName cuts "encoder.layer.3" into "encoder.layer" and "3".
func splitName(layer string) (stem, number string) {
	i := strings.LastIndexByte(layer, '.')
	if i < 0 {
		return "", ""
	}
	return layer[:i], layer[i+1:]
}

func (r *renaming) name(name string) string {
	at := r.layer.FindStringSubmatchIndex(name)
	if at == nil || r.to[name[at[2]:at[3]]] == "" {
		return name
	}
	return name[:at[2]] + r.to[name[at[2]:at[3]]] + name[at[3]:]
}

// gone reports whether name is of a layer that is gone.
func (r *renaming) gone(name string) bool {
	at := r.layer.FindStringSubmatch(name)
	return at != nil && r.to[at[1]] == ""
}
