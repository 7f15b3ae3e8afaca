package tokenizerjson

import (
	"fmt"
	"math"
	"strings"

	"graft/lines"
)

// qwen2Words cuts a text before byte-pair encoding (transformers, models/qwen2).
const qwen2Words = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// byteLevel reads GPT-2's kind of vocabulary: vocab.json and merges.txt, over bytes that are written as letters.
func (m *maker) byteLevel() error {
	prefix, err := m.settings.flag("add_prefix_space", false)
	if err != nil {
		return err
	}
	m.file["pre_tokenizer"] = byteLevel(prefix, true, true)
	return m.byteLevelModel()
}

// qwen2 is the same with another cut of words, after NFC.
func (m *maker) qwen2() error {
	prefix, err := m.settings.flag("add_prefix_space", false)
	if err != nil {
		return err
	}
	m.file["normalizer"] = object{"type": "NFC"}
	m.file["pre_tokenizer"] = sequence("Sequence", "pretokenizers",
		object{"type": "Split", "pattern": object{"Regex": qwen2Words}, "behavior": "Isolated", "invert": false}, byteLevel(prefix, true, false))
	return m.byteLevelModel()
}

func (m *maker) byteLevelModel() error {
	raw, err := m.read(vocabJSON)
	if err != nil {
		return err
	}
	if err := lines.Unmarshal(raw, &m.vocab); err != nil {
		return err
	}
	for token, id := range m.vocab {
		if id < 0 || id > math.MaxInt32 {
			return fmt.Errorf("token %q has id %d", token, id)
		}
	}
	if m.size = len(m.vocab); m.size == 0 {
		return fmt.Errorf("it is empty")
	}
	merges, err := m.readMerges()
	if err != nil {
		return fmt.Errorf("%s: %w", mergesText, err)
	}
	m.file["decoder"] = byteLevel(true, true, true)
	m.file["model"] = object{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": "", "end_of_word_suffix": "",
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": m.vocab, "merges": merges}
	return nil
}

// readMerges reads merges.txt: two tokens a line, the earlier the sooner they are joined; a first line may say the version.
func (m *maker) readMerges() ([][2]string, error) {
	raw, err := m.read(mergesText)
	if err != nil {
		return nil, err
	}
	merges := [][2]string{}
	seen := map[[2]string]bool{}
	number := 0
	for line := range strings.Lines(string(raw)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || number == 1 && strings.HasPrefix(line, "#version") {
			continue
		}
		left, right, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return nil, fmt.Errorf("line %d is %q, want two tokens", number, line)
		}
		for _, token := range []string{left, right, left + right} {
			if _, ok := m.vocab[token]; !ok {
				return nil, fmt.Errorf("line %d: %s has no token %q", number, vocabJSON, token)
			}
		}
		if merge := [2]string{left, right}; !seen[merge] {
			seen[merge] = true
			merges = append(merges, merge)
		}
	}
	return merges, nil
}
