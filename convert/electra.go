package convert

import "graft/graph"

// electra is BERT with embeddings of their own width (Clark et al. 2020).
var electra = &Arch{
	Name:       "electra",
	Doc:        "BERT's blocks over projected embeddings (Clark et al. 2020)",
	ModelTypes: []string{"electra"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newElectraConfig() },
	Forward:    forward(electraForward),
}

type electraConfig struct {
	bertConfig
	Embedding int `json:"embedding_size"`
}

func newElectraConfig() *electraConfig {
	c := &electraConfig{bertConfig: *newBertConfig(), Embedding: 128}
	c.Hidden, c.Heads, c.Intermediate = 256, 4, 1024
	return c
}

func electraForward(b *graph.Builder, c *electraConfig, in Inputs) Outputs {
	e := b.Scope("embeddings")
	x := b.Sum(e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Embedding),
		c.typeEmbeddings(e, in, c.Embedding),
		e.Embedding("position_embeddings.weight", in.Positions, c.Positions, c.Embedding))
	x = b.Dropout(e.LayerNorm("LayerNorm", x, c.Embedding, c.Eps), c.Dropout)
	if c.Embedding != c.Hidden {
		x = b.Linear("embeddings_project", x, c.Embedding, c.Hidden)
	}
	return bertBlocks(b.Scope("encoder"), &c.bertConfig, x, in)
}
