package convert

import "path/filepath"

// tokenizerFiles are what tokenizers of the Hugging Face libraries read.
var tokenizerFiles = []string{
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model", "chat_template.jinja",
}

func (s *saver) tokenizer() error {
	m := s.model
	if m.vocabulary != nil {
		return s.prunedTokenizer(m.vocabulary)
	}
	for _, name := range tokenizerFiles {
		from := filepath.Join(m.tokenizerDir, name)
		if name == "tokenizer.json" && m.Tokenizer != "" {
			from = m.Tokenizer
		}
		if !exists(from) {
			continue
		}
		if err := s.link(from, name); err != nil {
			return err
		}
	}
	if err := s.specialTokens(); err != nil {
		return err
	}
	if err := s.tokenizerConfig(); err != nil {
		return err
	}
	if m.Tokenizer == "" {
		s.warn("there is no tokenizer.json: texts cannot be embedded with this model until one is put beside it")
	}
	return nil
}

// tokenizerConfig changes what would keep other libraries from loading the tokenizer: the class that
// transformers 5 names for one without code of its own becomes that class's older name, which
// transformers 4 and 5 both load; and a tokenizer without a padding token pads with its end token,
// since batches cannot be made otherwise (the mask leaves padding out).
func (s *saver) tokenizerConfig() error {
	const name = "tokenizer_config.json"
	config := map[string]any{}
	if err := readOptional(s.dir, name, &config); err != nil {
		return err
	}
	changed := false
	if config["tokenizer_class"] == "TokenizersBackend" {
		config["tokenizer_class"], changed = "PreTrainedTokenizerFast", true
		if s.model.Arch != nil && config["model_input_names"] == nil { // that class gives token_type_ids unless told otherwise
			config["model_input_names"] = s.model.inputNames()
		}
	}
	if end := config["eos_token"]; config["pad_token"] == nil && end != nil {
		config["pad_token"], changed = end, true
		s.warn("the tokenizer has no padding token: its end token %v is named for it", end)
	}
	if !changed {
		return nil
	}
	return writeJSON(filepath.Join(s.dir, name), config)
}

// inputNames are the inputs of the graph.
func (m *Model) inputNames() []string {
	var names []string
	for _, v := range m.Graph.Graph.Inputs {
		names = append(names, v.Name)
	}
	return names
}
