package convert

import (
	"fmt"
	"path"
)

// stConfigFile holds the prompts of a sentence-transformers model.
const stConfigFile = "config_sentence_transformers.json"

// files are the JSON files of a sentence-transformers directory, by path: the layout of its
// versions 2 to 5, which 6 loads too. hidden is the size of a token's vector, 0 where it is not known.
//
// A pooling that sentence-transformers does not have is written by our name in the key of version
// 6, so that the library refuses the directory instead of pooling otherwise.
func (m *Modules) files(hidden int) map[string]any {
	type module struct {
		Index int    `json:"idx"`
		Name  string `json:"name"`
		Path  string `json:"path"`
		Type  string `json:"type"`
	}
	list := []module{{0, "0", "", "sentence_transformers.models.Transformer"}}
	add := func(kind, dir string) string {
		i := len(list)
		if dir == "" {
			dir = fmt.Sprintf("%d_%s", i, kind)
		}
		list = append(list, module{i, fmt.Sprint(i), dir, "sentence_transformers.models." + kind})
		return dir
	}
	files := map[string]any{}
	pooling := add("Pooling", "")
	config := map[string]any{"include_prompt": m.includePrompt()}
	if hidden > 0 {
		config["word_embedding_dimension"] = hidden
	}
	for _, mode := range poolingModes {
		if mode.old != "" {
			config[mode.old] = false
		}
	}
	for i, mode := range m.Pooling {
		if mode.old == "" || i > 0 && !inOrder(m.Pooling[i-1], mode) {
			config = map[string]any{"include_prompt": m.includePrompt(), "pooling_mode": m.poolingNames()}
			if hidden > 0 {
				config["embedding_dimension"] = hidden
			}
			break
		}
		config[mode.old] = true
	}
	files[path.Join(pooling, "config.json")] = config
	for _, d := range m.Dense {
		add("Dense", d.Dir)
	}
	if m.Truncate > 0 {
		files[path.Join(add("Dense", m.truncationDir()), "config.json")] = m.truncation(hidden)
	}
	if m.Normalize {
		files[path.Join(add("Normalize", ""), "config.json")] = map[string]any{}
	}
	files["modules.json"] = list
	length := map[string]any{"max_seq_length": m.MaxLength, "do_lower_case": m.LowerCase}
	if m.MaxLength == 0 {
		length["max_seq_length"] = nil
	}
	files["sentence_bert_config.json"] = length
	return files
}

// inOrder reports whether a stands before b in the order that the old layout joins poolings in.
func inOrder(a, b PoolingMode) bool {
	for _, m := range poolingModes {
		switch m.Name {
		case a.Name:
			return a.Name != b.Name
		case b.Name:
			return false
		}
	}
	return false
}

// poolingNames is the value of pooling_mode: a name or a list of names.
func (m *Modules) poolingNames() any {
	var names []string
	for _, p := range m.Pooling {
		names = append(names, p.Name)
	}
	if len(names) == 1 {
		return names[0]
	}
	return names
}

// settings sets the prompts in the content of config_sentence_transformers.json, keeping the rest.
func (m *Modules) settings(config map[string]any) {
	config["prompts"] = m.Prompts
	delete(config, "graft_suffixes")
	if len(m.Suffixes) > 0 {
		config["graft_suffixes"] = m.Suffixes
	}
	delete(config, "graft_prompt_pooling")
	if m.PromptPooling == PromptLength {
		config["graft_prompt_pooling"] = m.PromptPooling
	}
	delete(config, "graft_plain_mean")
	if m.PlainMean {
		config["graft_plain_mean"] = true
	}
	delete(config, "graft_pair_titles")
	if m.PairTitles {
		config["graft_pair_titles"] = true
	}
	config["default_prompt_name"] = nil
	if m.DefaultPrompt != "" {
		config["default_prompt_name"] = m.DefaultPrompt
	}
	config["similarity_fn_name"] = "cosine"
	if m.Similarity != "" {
		config["similarity_fn_name"] = m.Similarity
	}
}
