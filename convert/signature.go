package convert

import (
	"crypto/sha256"
	"fmt"

	"graft/graph"
)

// signature is a digest of what each output of g computes: operators, attributes, weights by the
// checkpoint's names and other constants by their content. Names and order of the nodes do not count.
func signature(g *graph.Graph, weights map[string]string) ([]string, error) {
	of := map[*graph.Value]string{nil: "-"}
	for _, v := range g.Inputs {
		of[v] = "input " + v.Name
	}
	for _, v := range g.Initializers {
		if name, ok := weights[v.Name]; ok {
			of[v] = fmt.Sprintf("weight %q %v", name, v.Init.Shape)
			continue
		}
		h := sha256.New()
		if err := hashTensor(h, "", v.Init); err != nil {
			return nil, err
		}
		of[v] = string(h.Sum(nil))
	}
	for _, n := range g.Nodes {
		h := sha256.New()
		bare := graph.Node{Op: n.Op, Domain: n.Domain, Attrs: n.Attrs}
		hashNode(h, &bare)
		for _, v := range n.Inputs {
			fmt.Fprintf(h, "%q ", of[v])
		}
		sum := string(h.Sum(nil))
		for i, v := range n.Outputs {
			if v != nil {
				of[v] = fmt.Sprintf("%s output %d", sum, i)
			}
		}
	}
	list := make([]string, len(g.Outputs))
	for i, v := range g.Outputs {
		list[i] = v.Name + " " + of[v]
	}
	return list, nil
}
