package convert

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Preset is how a published system is run: all that its checkpoint leaves unsaid, or says only in the code beside it.
type Preset struct {
	Name   string   // on the command line
	Doc    string   // one line: what it is and where it comes from
	Models []string // where it is published; of a dual encoder the queries' first
	Base   string   // what an adapter is merged into; "": Models are whole
	Arch   string   // an architecture's name

	Pooling    string // a PoolingMode's flag
	Normalize  bool
	Similarity string // cosine or dot

	Query, Document string // templates
	Example         string // form of an example, with {instruction}, {query} and {response}; "": it takes none
	PairTitles      bool   // a document is a pair, its title and its text, to the tokenizer

	MaxLength         int // tokens of the longest text that the reference runs
	QueryMaxLength    int // tokens, as the reference's scores were recorded
	DocumentMaxLength int

	AddBOSToken, AddEOSToken *bool  // nil: as tokenizer.json says
	PadToken                 string // "": the tokenizer's
	PaddingSide              string // of the reference's batches; the vectors do not depend on it

	Reference string // the evaluation's settings in the reference's own flags
	Note      string // where its recorded scores were made otherwise than the preset runs
}

func on() *bool  { v := true; return &v }
func off() *bool { v := false; return &v }

// presets are the reference's eight systems, in the order of its tables.
var presets = []*Preset{
	{
		Name: "rocketqa-v1", Doc: "dual encoder of English ERNIE 2.0 (Qu et al. 2021)",
		Models: []string{"rocketqa-v1-marco-query-encoder", "rocketqa-v1-marco-para-encoder"}, Arch: "ernie",
		Pooling: "cls", Similarity: "dot", Query: "{text}", Document: "{text}", PairTitles: true,
		MaxLength: 512, QueryMaxLength: 512, DocumentMaxLength: 512, PaddingSide: "right",
		Reference: "--query_instruction '' --document_instruction '' --pooling_method cls --max_seq_length 512 --padding_side right",
	},
	{
		Name: "rocketqa-v2", Doc: "dual encoder trained together with a ranker (Ren et al. 2021)",
		Models: []string{"rocketqav2-en-marco-query-encoder", "rocketqav2-en-marco-para-encoder"}, Arch: "ernie",
		Pooling: "cls", Similarity: "dot", Query: "{text}", Document: "{text}", PairTitles: true,
		MaxLength: 512, QueryMaxLength: 512, DocumentMaxLength: 512, PaddingSide: "right",
		Reference: "--query_instruction '' --document_instruction '' --pooling_method cls --max_seq_length 512 --padding_side right",
	},
	{
		Name: "bge-large-en-v1.5", Doc: "BERT-large (Xiao et al. 2024, C-Pack)",
		Models: []string{"BAAI/bge-large-en-v1.5"}, Arch: "bert",
		Pooling: "cls", Normalize: true, Similarity: "cosine",
		Query: "Represent this sentence for searching relevant passages: {text}", Document: "{text}",
		MaxLength: 512, QueryMaxLength: 512, DocumentMaxLength: 512, PaddingSide: "right",
		Reference: "--query_instruction 'Represent this sentence for searching relevant passages: ' --document_instruction '' --pooling_method mean --max_seq_length 512 --padding_side right --add_bos_token 0 --add_eos_token 0",
		Note:      "recorded with the mean of all tokens; the model was trained with its first token",
	},
	{
		Name: "repllama-v1-7b", Doc: "LoRA adapter on Llama 2 7B (Ma et al. 2023)",
		Models: []string{"castorini/repllama-v1-7b-lora-passage"}, Base: "meta-llama/Llama-2-7b-hf", Arch: "llama",
		Pooling: "last", Normalize: true, Similarity: "cosine",
		Query: "query: {text}", Document: "passage: {text}",
		MaxLength: 4096, QueryMaxLength: 512, DocumentMaxLength: 512,
		AddBOSToken: off(), AddEOSToken: on(), PadToken: "unk_token", PaddingSide: "right",
		Reference: "--query_instruction 'query: ' --document_instruction 'passage: ' --pooling_method last --max_seq_length 512 --pad_token unk_token --padding_side right --add_bos_token 0 --add_eos_token 1",
		Note:      "the authors' own code has <s> before each text; the reference leaves it out",
	},
	{
		Name: "nv-embed-v1", Doc: "Mistral 7B without causal mask, latent attention pooling (Lee et al. 2025)",
		Models: []string{"nvidia/NV-Embed-v1"}, Arch: "nvembed",
		Pooling: "latent", Normalize: true, Similarity: "cosine",
		Query: "Instruct: {instruction}\nQuery: {text}", Document: "{text}",
		MaxLength: 4096, QueryMaxLength: 4096, DocumentMaxLength: 4096,
		AddBOSToken: on(), AddEOSToken: on(), PaddingSide: "right",
		Reference: "--document_instruction '' --max_seq_length 4096",
	},
	{
		Name: "bge-en-icl", Doc: "Mistral 7B that takes examples of the task before the query (Li et al. 2025)",
		Models: []string{"BAAI/bge-en-icl"}, Arch: "mistral",
		Pooling: "last", Normalize: true, Similarity: "cosine",
		Query: "{examples}<instruct>{instruction}\n<query>{text}\n<response>", Document: "{text}",
		Example:   "<instruct>{instruction}\n<query>{query}\n<response>{response}",
		MaxLength: 4096, QueryMaxLength: 512, DocumentMaxLength: 512,
		AddBOSToken: on(), AddEOSToken: on(), PaddingSide: "left",
		Reference: "--document_instruction '' --max_seq_length 512 --padding_side left --add_bos_token 1 --add_eos_token 1",
		Note:      "recorded without examples",
	},
	{
		Name: "llara-passage", Doc: "Llama 2 7B that sums a text up in eight tokens (Liu et al. 2024, Llama2Vec)",
		Models: []string{"BAAI/LLARA-passage"}, Arch: "llama",
		Pooling: "last_8", Normalize: true, Similarity: "cosine",
		Query:     `" {text} ", predict the following passage within eight words: <s9><s10><s11><s12><s13><s14><s15><s16>`,
		Document:  `" {text} ", summarize the above passage within eight words: <s1><s2><s3><s4><s5><s6><s7><s8>`,
		MaxLength: 4096, QueryMaxLength: 532, DocumentMaxLength: 532,
		AddBOSToken: on(), AddEOSToken: off(), PaddingSide: "left",
		Reference: "--query_instruction '' --document_instruction '' --pooling_method last_8 --max_seq_length 532 --add_bos_token 1 --add_eos_token 0",
		Note:      "the reference cuts the longest texts behind the template, and with it the last of the eight tokens",
	},
	{
		Name: "qwen3-embedding-8b", Doc: "Qwen3 8B (Zhang et al. 2025)",
		Models: []string{"Qwen/Qwen3-Embedding-8B"}, Arch: "qwen3",
		Pooling: "last", Normalize: true, Similarity: "cosine",
		Query: "Instruct: {instruction}\nQuery:{text}", Document: "{text}",
		MaxLength: 8192, QueryMaxLength: 4096, DocumentMaxLength: 4096, PaddingSide: "left",
		Reference: "--document_instruction '' --pooling_method last --max_seq_length 4096 --add_bos_token 0 --add_eos_token 1",
	},
}

// Presets lists the presets.
func Presets() []*Preset { return slices.Clone(presets) }

// PresetNamed finds a preset by its name, or that of its model, ignoring case.
func PresetNamed(name string) (*Preset, error) {
	var known []string
	for _, p := range presets {
		if strings.EqualFold(name, p.Name) || p.publishes(name) {
			return p, nil
		}
		known = append(known, p.Name)
	}
	return nil, fmt.Errorf("unknown preset %q; known: %s", name, strings.Join(known, ", "))
}

// publishes reports whether a path ends in the name of one of the preset's models.
func (p *Preset) publishes(name string) bool {
	name = strings.TrimPrefix(name, "hf:")
	name, _, _ = strings.Cut(name, "@")
	return slices.ContainsFunc(p.Models, func(m string) bool { return strings.EqualFold(path.Base(m), path.Base(name)) })
}

// PresetOf is the preset that a model was made under, by its provenance, or else the one whose model has its name and architecture;
// nil where there is none. made tells the two apart.
func PresetOf(m *Model) (p *Preset, made bool) {
	for _, s := range slices.Backward(m.Steps) {
		if name, ok := s.Options["preset"].(string); ok {
			if p, err := PresetNamed(name); err == nil {
				return p, true
			}
		}
	}
	for _, p := range presets {
		if m.Arch != nil && m.Arch.Name == p.Arch && (p.publishes(m.Path) || m.adapter != "" && p.publishes(m.adapter)) {
			return p, false
		}
	}
	return nil, false
}

// Fill sets what o leaves open to what the preset says, but for the templates.
func (p *Preset) Fill(o OpenOptions) OpenOptions {
	set := func(to *string, value string) {
		if *to == "" {
			*to = value
		}
	}
	if p.Pooling != latentPooling { // a model with latents says by itself that it pools by them, and how
		set(&o.Pooling, p.Pooling)
	}
	o.PairTitles = o.PairTitles || p.PairTitles
	set(&o.Similarity, p.Similarity)
	if o.Normalize == nil {
		o.Normalize = &p.Normalize
	}
	o.UpToLength = p.MaxLength
	if o.AddBOSToken == nil && o.AddEOSToken == nil {
		o.AddBOSToken, o.AddEOSToken = p.AddBOSToken, p.AddEOSToken
	}
	return o
}
