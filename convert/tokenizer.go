package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"graft/convert/tokenizerjson"
	"graft/graph"
	"graft/lines"
)

// findTokenizer sets the tokenizer: the file that the options name, the directory's tokenizer.json, or, where there are the files of a slow
// tokenizer alone, one that is made of them.
func (m *Model) findTokenizer(dir, file string) error {
	m.tokenizerDir, m.Tokenizer = dir, file
	if file != "" {
		if beside := filepath.Dir(file); exists(filepath.Join(beside, "tokenizer_config.json")) {
			m.tokenizerDir = beside
		}
		return nil
	}
	file, folder, from, err := tokenizerOf(dir)
	if errors.Is(err, tokenizerjson.ErrUnknown) {
		m.Warnings = append(m.Warnings, err.Error())
		return nil
	}
	if folder != "" {
		m.files = append(m.files, folder)
		m.tokenizerDir = string(folder)
	}
	m.Tokenizer, m.TokenizerFrom = file, from
	return err
}

// tokenizerOf is the tokenizer.json of a directory: its own or, where there are the files of a slow tokenizer alone, one that is made of them
// in a temporary folder, from which it says; "": it has none.
func tokenizerOf(dir string) (file string, folder temporaryFolder, from string, err error) {
	const name = "tokenizer.json"
	if file = filepath.Join(dir, name); exists(file) {
		return file, "", "", nil
	}
	made, err := tokenizerjson.Make(dir)
	if errors.Is(err, tokenizerjson.ErrNone) {
		return "", "", "", nil
	}
	if err == nil {
		folder, err = tokenizerFolder(dir, made)
	}
	if err != nil {
		return "", "", "", fmt.Errorf("tokenizer: %w", err)
	}
	return filepath.Join(string(folder), name), folder, fmt.Sprintf("%s (%s)", made.From, made.Class), nil
}

// temporaryFolder is a folder that is removed when it is closed.
type temporaryFolder string

// Close removes the folder.
func (f temporaryFolder) Close() error { return os.RemoveAll(string(f)) }

// tokenizerFolder is a folder with a tokenizer that was made and links to the files that it was made of.
func tokenizerFolder(from string, made *tokenizerjson.Tokenizer) (_ temporaryFolder, err error) {
	dir, err := os.MkdirTemp("", "graft-tokenizer-")
	if err != nil {
		return "", err
	}
	folder := temporaryFolder(dir)
	defer func() {
		if err != nil {
			folder.Close()
		}
	}()
	if from, err = filepath.Abs(from); err != nil {
		return "", err
	}
	files := map[string][]byte{"tokenizer.json": made.JSON, "tokenizer_config.json": made.Config}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			return "", err
		}
	}
	for _, name := range tokenizerFiles {
		if files[name] == nil && exists(filepath.Join(from, name)) {
			if err := os.Symlink(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
				return "", err
			}
		}
	}
	return folder, nil
}

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
