"""A decoder whose norms, of the residual stream and of heads, are narrower than a register of 16 float32.

    python make_narrow.py OUT TOKENIZER.json
"""
import shutil
import sys

import torch
from transformers import Qwen3Config, Qwen3Model

torch.manual_seed(0)
model = Qwen3Model(Qwen3Config(
    vocab_size=61, hidden_size=12, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    head_dim=6, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0))
for name, parameter in model.named_parameters():
    if "norm" in name:  # a gain of 1 would be folded away
        torch.nn.init.uniform_(parameter, 0.5, 1.5)
    else:
        torch.nn.init.normal_(parameter, 0, 0.3)
model.save_pretrained(sys.argv[1])
shutil.copy(sys.argv[2], sys.argv[1] + "/tokenizer.json")
