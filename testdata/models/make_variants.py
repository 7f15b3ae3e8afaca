"""What transformers makes of the checkpoints here when their configs say something else: variants.json.

Run as make_variants.py ROOT. Each case changes keys of a folder's config.json (null in "remove": they go) and keeps the mean over the
real tokens of the last hidden state for each text of the right-padded batch, each text run alone in float32 with eager attention.
"""
import json, os, shutil, sys, tempfile
import torch
from safetensors.torch import load_file
from transformers import AutoModel

ROOT = sys.argv[1]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
CASES = [
    ("mistral", {"is_causal": False}, []),
    ("mistral", {"is_causal": False, "sliding_window": None}, []),
    ("mistral", {"sliding_window": None}, []),
    ("qwen3", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}, ["layer_types"]),
    ("qwen3", {"use_sliding_window": True, "sliding_window": None, "max_window_layers": 0}, ["layer_types"]),
    ("gemma2", {"is_causal": False}, []),
    ("gemma3-text", {"is_causal": False}, []),
    ("gemma3-text", {"use_bidirectional_attention": True}, []),
    ("gemma3-text", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}}, []),
    ("gemma3-text", {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 4.0}}}, []),
    ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}}}, []),
    ("qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_scaling": YARN}, []),
    ("qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_scaling": {}}, []),
    ("llama", {"partial_rotary_factor": 0.5}, []),
    ("phi3", {"is_causal": False}, []),
    ("phi3", {"sliding_window": None}, ["rope_parameters"]),
    ("phi3", {"rope_scaling": None, "rope_theta": 500.0, "partial_rotary_factor": 0.25}, ["rope_parameters"]),
    ("phi3-longrope", {"original_max_position_embeddings": 64}, []),
    ("phi3-longrope", {"original_max_position_embeddings": 4, "max_position_embeddings": 256}, []),
    ("olmo2", {"is_causal": False}, []),
    ("granite", {"is_causal": False}, ["residual_multiplier", "attention_multiplier"]),
    ("smollm3", {"is_causal": False}, []),
    ("smollm3", {"no_rope_layers": [0, 1, 1]}, []),
    ("smollm3", {"no_rope_layers": [0, 1, 0]}, ["layer_types"]),
    ("smollm3", {"no_rope_layer_interval": 3}, ["layer_types", "no_rope_layers"]),
    ("smollm3", {"use_sliding_window": False}, []),
    ("smollm3", {"use_sliding_window": False}, ["layer_types"]),
    ("deberta-v2", {"pos_att_type": "P2C"}, []),
    ("deberta-v2", {"pos_att_type": [], "max_relative_positions": 12}, []),
    ("deberta-v2", {"norm_rel_ebd": "none", "max_relative_positions": -1}, ["share_att_key", "pos_att_type"]),
    ("deberta-v2-input", {"relative_attention": False}, []),
    ("mpnet", {"pad_token_id": 0, "type_vocab_size": 2}, []),
]

def means(name, change, remove):
    """The mean vectors of a folder's texts under a changed config."""
    with tempfile.TemporaryDirectory() as d:
        for f in os.listdir(f"{ROOT}/{name}"):
            if os.path.isfile(f"{ROOT}/{name}/{f}") and "expected" not in f and "gradients" not in f:
                shutil.copy(f"{ROOT}/{name}/{f}", d)
        config = json.load(open(f"{d}/config.json"))
        config = {k: v for k, v in config.items() if k not in remove} | change
        json.dump(config, open(f"{d}/config.json", "w"))
        model = AutoModel.from_pretrained(d, dtype=torch.float32, attn_implementation="eager").eval()
        given = load_file(f"{ROOT}/{name}/expected.safetensors")
        rows = []
        for i, n in enumerate(given["right.attention_mask"].sum(1).tolist()):
            ids = given["right.input_ids"][i : i + 1, :n]
            with torch.no_grad():
                rows.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(0).tolist())
        return rows

if __name__ == "__main__":
    with open(f"{ROOT}/variants.json", "w") as f:
        f.write("[\n" + ",\n".join(
            json.dumps({"model": m, "change": c, "remove": r, "mean": [[float(f"{x:.8g}") for x in row] for row in means(m, c, r)]}) for m, c, r in CASES) + "\n]\n")
