package convert

import "graft/graph"

// ernie is BERT with a table of task types (Sun et al. 2020, ERNIE 2.0).
var ernie = &Arch{
	Name:       "ernie",
	Doc:        "BERT's blocks with task type embeddings (Sun et al. 2020)",
	ModelTypes: []string{"ernie"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return &ernieConfig{bertConfig: *newBertConfig(), TaskTypes: 3} },
	Forward:    forward(ernieForward),
}

type ernieConfig struct {
	bertConfig
	TaskTypes int  `json:"task_type_vocab_size"`
	UseTask   bool `json:"use_task_id"`
}

func ernieForward(b *graph.Builder, c *ernieConfig, in Inputs) Outputs {
	e := b.Scope("embeddings")
	x := b.Sum(e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Hidden),
		c.typeEmbeddings(e, in, c.Hidden),
		e.Embedding("position_embeddings.weight", in.Positions, c.Positions, c.Hidden))
	if c.UseTask { // row 0 too is added, so that a model which never names a task is as it was trained
		if in.TaskType < 0 || in.TaskType >= c.TaskTypes {
			b.Errorf("task type %d: the model has types 0 to %d", in.TaskType, c.TaskTypes-1)
		}
		x = b.Add(x, e.Embedding("task_type_embeddings.weight", e.Int64(int64(in.TaskType)), c.TaskTypes, c.Hidden))
	}
	x = b.Dropout(e.LayerNorm("LayerNorm", x, c.Hidden, c.Eps), c.Dropout)
	return bertBlocks(b.Scope("encoder"), &c.bertConfig, x, in)
}
