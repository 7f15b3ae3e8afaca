package prune

import (
	"errors"
	"fmt"
	"slices"

	"graft/graph"
)

// Vocabulary is what stays of a model's tokens, and the tokenizer that knows no others.
type Vocabulary struct {
	Keep      []int    `json:"keep"` // the former ids of the tokens that stay, by their present ids; ascending
	Tokens    []string `json:"-"`    // the tokens, by their present ids
	Tokenizer []byte   `json:"-"`    // tokenizer.json
}

// NewVocabulary keeps of a tokenizer.json the tokens whose ids are used, and those without which texts
// of other words could not be spelled, or would be spelled otherwise: added and special tokens, single characters
// and bytes, and for BPE what a used token is merged from. Texts whose tokens are all in used have the
// same tokens afterwards.
func NewVocabulary(tokenizer []byte, used map[int]bool) (*Vocabulary, error) {
	v, err := newVocabulary(tokenizer, used)
	if err != nil {
		return nil, fmt.Errorf("prune vocabulary: tokenizer.json: %w", err)
	}
	return v, nil
}

// Apply leaves the graph's embedding table the rows of the tokens that stay.
func (v *Vocabulary) Apply(m *graph.Model) error {
	if err := v.apply(m); err != nil {
		return fmt.Errorf("prune vocabulary: %w", err)
	}
	return nil
}

func (v *Vocabulary) apply(m *graph.Model) error {
	if err := refuse(m); err != nil {
		return err
	}
	g := m.Graph
	table, err := v.table(g)
	if err != nil {
		return err
	}
	if rows := table.Init.Shape[0]; int64(v.Keep[len(v.Keep)-1]) >= rows {
		return fmt.Errorf("the tokenizer has ids up to %d, but the embedding table %q has only %d rows", v.Keep[len(v.Keep)-1], table.Name, rows)
	}
	table.Init = pickFrom(table.Init, 0, v.Keep)
	table.Type = table.Init.Type()
	return finish(m)
}

// arrange are the operators that give a tensor of ids, their first input, in another shape.
var arrange = []string{"Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Slice"}

// table is the embedding table: what input_ids are looked up in. Nothing else may depend on what
// number a token has.
func (v *Vocabulary) table(g *graph.Graph) (*graph.Value, error) {
	ids := g.Input("input_ids")
	if ids == nil {
		return nil, errors.New("the graph has no input input_ids")
	}
	uses := g.Uses()
	var tables []*graph.Value
	for open := []*graph.Value{ids}; len(open) > 0; {
		value := open[0]
		open = open[1:]
		for _, u := range uses[value] {
			switch n := u.Node; {
			case u.Index == 0 && slices.Contains(arrange, n.Op) && n.Domain == "":
				open = append(open, n.Outputs[0])
			case n.Is("Shape"):
			case n.Is("Gather") && u.Index == 1 && n.Int("axis", 0) == 0:
				if t := n.Input(0); !slices.Contains(tables, t) {
					tables = append(tables, t)
				}
			case n.Is("Equal") && v.stays(n.Input(1-u.Index)):
			default:
				return nil, fmt.Errorf("node %q (%s) computes with the ids themselves", n.Name, n.Op)
			}
		}
	}
	if len(tables) != 1 || tables[0].Init == nil || len(tables[0].Init.Shape) != 2 {
		return nil, errors.New("the embedding table is not recognized")
	}
	for _, u := range uses[tables[0]] {
		if !u.Node.Is("Gather") || u.Index != 0 {
			return nil, fmt.Errorf("node %q (%s) reads the embedding table %q too", u.Node.Name, u.Node.Op, tables[0].Name)
		}
	}
	return tables[0], nil
}

// stays reports whether the constant is an id that has the same number as before.
func (v *Vocabulary) stays(constant *graph.Value) bool {
	c := constant.Const()
	if c == nil || c.Len() != 1 {
		return false
	}
	id, err := c.Int64s()
	return err == nil && id[0] >= 0 && id[0] < int64(len(v.Keep)) && v.Keep[id[0]] == int(id[0])
}
