package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"graft/graph"
	"graft/lines"
)

// checkTokenizer refuses a tokenizer whose ids reach beyond the embedding table, which would
// fail, or read other memory, at the first text that has such a token.
func (m *Model) checkTokenizer() error {
	rows, ok := embeddingRows(m.Graph.Graph)
	if m.Tokenizer == "" || !ok {
		return nil
	}
	most, err := highestID(m.Tokenizer)
	if err != nil {
		return fmt.Errorf("read tokenizer %q: %w", m.Tokenizer, err)
	}
	if most >= rows {
		return fmt.Errorf("tokenizer %q has ids up to %d, but the embedding table has only %d rows", m.Tokenizer, most, rows)
	}
	return nil
}

// highestID is the largest id that a tokenizer.json gives, added tokens included; -1 where it has none.
func highestID(path string) (int64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var file struct {
		Added []struct {
			ID int64 `json:"id"`
		} `json:"added_tokens"`
		Model struct {
			Vocab json.RawMessage `json:"vocab"` // token to id, or for Unigram a list in the order of ids
		} `json:"model"`
	}
	if err := lines.Unmarshal(raw, &file); err != nil {
		return 0, err
	}
	most := int64(-1)
	for _, t := range file.Added {
		most = max(most, t.ID)
	}
	if bytes.HasPrefix(file.Model.Vocab, []byte("[")) {
		var pieces []json.RawMessage
		if err := json.Unmarshal(file.Model.Vocab, &pieces); err != nil {
			return 0, err
		}
		return max(most, int64(len(pieces))-1), nil
	}
	var ids map[string]int64
	if len(file.Model.Vocab) > 0 {
		if err := json.Unmarshal(file.Model.Vocab, &ids); err != nil {
			return 0, err
		}
	}
	for _, id := range ids {
		most = max(most, id)
	}
	return most, nil
}

// embeddingRows is the number of rows of the table that input_ids are looked up in, where the
// graph has such a lookup.
func embeddingRows(g *graph.Graph) (int64, bool) {
	ids := g.Input("input_ids")
	for _, n := range g.Nodes {
		if !n.Is("Gather") || n.Int("axis", 0) != 0 {
			continue
		}
		index := n.Input(1)
		if cast := index.Def(); cast.Is("Cast") {
			index = cast.Input(0)
		}
		table := n.Input(0)
		if ids == nil || index != ids || table == nil {
			continue
		}
		if s := table.Shape(); len(s) == 2 && s[0].Known() {
			return s[0].Size, true
		}
	}
	return 0, false
}
