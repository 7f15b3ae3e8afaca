package convert

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"graft/graph"
)

// The keys under which an ONNX file carries what its model directory says, so that the file alone
// is a model too.
const (
	metaPooling    = "graft.pooling"        // flags of the poolings, joined by "+"
	metaPrompting  = "graft.prompt_pooling" // which tokens of a prompt the input pooling_mask is to leave out: "", "prompt", "prompt_length"
	metaNormalize  = "graft.normalize"      // "true" or "false"
	metaMaxLength  = "graft.max_length"     // in tokens
	metaPrompts    = "graft.prompts"        // JSON object
	metaSuffixes   = "graft.suffixes"       // JSON object
	metaPairTitles = "graft.pair_titles"
	metaPrompt     = "graft.default_prompt"
	metaLowerCase  = "graft.lower_case"
	metaSimilarity = "graft.similarity"
	metaVersion    = "graft.version"
	metaBase       = "graft.base" // hash of the model that it was made from
)

// metadata is the modules, the tool's version and the hash of the origin as metadata_props.
func (m *Modules) metadata(version, base string) ([]graph.Property, error) {
	prompts, err := json.Marshal(m.Prompts)
	if err != nil {
		return nil, err
	}
	suffixes, err := json.Marshal(m.Suffixes)
	if err != nil {
		return nil, err
	}
	return []graph.Property{
		{Key: metaPooling, Value: m.PoolingName()},
		{Key: metaPrompting, Value: string(m.PromptPooling)},
		{Key: metaNormalize, Value: strconv.FormatBool(m.Normalize)},
		{Key: metaMaxLength, Value: strconv.Itoa(m.MaxLength)},
		{Key: metaPrompts, Value: string(prompts)},
		{Key: metaSuffixes, Value: string(suffixes)},
		{Key: metaPairTitles, Value: strconv.FormatBool(m.PairTitles)},
		{Key: metaPrompt, Value: m.DefaultPrompt},
		{Key: metaLowerCase, Value: strconv.FormatBool(m.LowerCase)},
		{Key: metaSimilarity, Value: m.Similarity},
		{Key: metaVersion, Value: version},
		{Key: metaBase, Value: base},
	}, nil
}

// readMetadata takes the modules from the file's own metadata where the directory has none.
func (m *Model) readMetadata(o OpenOptions) error {
	get := func(key string) string {
		v, _ := m.Graph.Meta(key)
		return v
	}
	if m.Modules.Found || get(metaPooling) == "" {
		return nil
	}
	mod := &m.Modules
	mod.Found, mod.Pooling = true, nil
	for name := range strings.SplitSeq(get(metaPooling), "+") {
		mode, err := poolingMode(name)
		if err != nil {
			return fmt.Errorf("metadata %q: %w", metaPooling, err)
		}
		mod.Pooling = append(mod.Pooling, mode)
	}
	mod.PromptPooling = PromptPooling(get(metaPrompting))
	mod.Normalize, mod.LowerCase = get(metaNormalize) == "true", get(metaLowerCase) == "true"
	mod.DefaultPrompt, mod.Similarity = get(metaPrompt), get(metaSimilarity)
	if n, err := strconv.Atoi(get(metaMaxLength)); err == nil && n > 0 {
		mod.MaxLength = n
	}
	if raw := get(metaPrompts); raw != "" {
		if err := json.Unmarshal([]byte(raw), &mod.Prompts); err != nil {
			return fmt.Errorf("metadata %q: %w", metaPrompts, err)
		}
	}
	if raw := get(metaSuffixes); raw != "" {
		if err := json.Unmarshal([]byte(raw), &mod.Suffixes); err != nil {
			return fmt.Errorf("metadata %q: %w", metaSuffixes, err)
		}
	}
	mod.PairTitles = get(metaPairTitles) == "true"
	return m.choose(o)
}
