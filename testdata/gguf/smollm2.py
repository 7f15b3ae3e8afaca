"""What others read in SmolLM2's GGUF file (gguf 0.19.0, transformers 5.23.0, tokenizers 0.23.3, torch 2.11.0).

    python smollm2.py FILE.gguf texts.json > smollm2.json      texts.json: of testdata/tokenizers

Ids: the file's vocabulary and merges behind the pre-tokenizers of SmolLM2's own tokenizer.json (single digits, then GPT-2's words).
Vectors: the first features of each text's last token, from transformers' own reading of the file.
"""
import json
import sys
from pathlib import Path

import gguf
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import AutoModel

FEATURES, RUN = 8, 12
path = Path(sys.argv[1])
texts = json.loads(Path(sys.argv[2]).read_text())["texts"]

fields = gguf.GGUFReader(path).fields
tokens = fields["tokenizer.ggml.tokens"].contents()
merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
special = [AddedToken(s, special=True, normalized=False) for s, kind in zip(tokens, fields["tokenizer.ggml.token_type"].contents()) if kind == 3]
tokenizer = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(tokens)}, merges=merges))
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                   pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
tokenizer.add_special_tokens(special)
ids = [tokenizer.encode(text).ids for text in texts]

model = AutoModel.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
vectors = {}
with torch.no_grad():
    for i, row in enumerate(ids):
        if len(row) > 3 and len(vectors) < RUN:
            vectors[i] = model(input_ids=torch.tensor([row])).last_hidden_state[0, -1, :FEATURES].tolist()
print(json.dumps({"input_ids": ids, "last_token": vectors}))
