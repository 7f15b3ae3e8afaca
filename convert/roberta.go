package convert

import "graft/graph"

// roberta is BERT with positions that start after the padding id (Liu et al. 2019).
var roberta = &Arch{
	Name:       "roberta",
	Doc:        "BERT's blocks, positions counted from pad_token_id + 1 (Liu et al. 2019)",
	ModelTypes: []string{"roberta"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newRobertaConfig() },
	Forward:    forward(robertaForward),
}

// xlmRoberta and camembert have RoBERTa's graph with other vocabularies (Conneau et al. 2019,
// Martin et al. 2019).
var xlmRoberta = &Arch{
	Name:       "xlm-roberta",
	Doc:        "RoBERTa's graph with a multilingual vocabulary, or a French one (Conneau et al. 2019, Martin et al. 2019)",
	ModelTypes: []string{"xlm-roberta", "camembert"},
	Anchor:     roberta.Anchor,
	Config:     roberta.Config,
	Forward:    roberta.Forward,
}

type robertaConfig struct {
	bertConfig
	PadID int `json:"pad_token_id"`
}

func newRobertaConfig() *robertaConfig {
	return &robertaConfig{bertConfig: *newBertConfig(), PadID: 1}
}

func (c *robertaConfig) Sizes() Sizes {
	s := c.bertConfig.Sizes()
	s.Positions -= c.PadID + 1
	return s
}

func robertaForward(b *graph.Builder, c *robertaConfig, in Inputs) Outputs {
	e := b.Scope("embeddings")
	place := e.Add(in.Positions, e.Int64(int64(c.PadID)+1))
	x := b.Sum(e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Hidden),
		c.typeEmbeddings(e, in, c.Hidden),
		e.Embedding("position_embeddings.weight", place, c.Positions, c.Hidden))
	x = b.Dropout(e.LayerNorm("LayerNorm", x, c.Hidden, c.Eps), c.Dropout)
	return bertBlocks(b.Scope("encoder"), &c.bertConfig, x, in)
}
