"""Make the Paddle checkpoints of this folder: numpy 2.4.6, safetensors 0.8.0.

    python make.py MODELS      MODELS: testdata/models
"""
import json
import pickle
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

HERE = Path(__file__).parent
NAMES = {"attention.self.query": "self_attn.q_proj", "attention.self.key": "self_attn.k_proj", "attention.self.value": "self_attn.v_proj",
         "attention.output.dense": "self_attn.out_proj", "attention.output.LayerNorm": "norm1", "intermediate.dense": "linear1",
         "output.dense": "linear2", "output.LayerNorm": "norm2"}


def paddle_name(name):
    name = name.replace("embeddings.LayerNorm", "embeddings.layer_norm")
    if name.startswith("encoder.layer."):
        _, _, layer, rest = name.split(".", 3)
        module, kind = rest.rsplit(".", 1)
        name = f"encoder.layers.{layer}.{NAMES[module]}.{kind}"
    return name


def save(state, path, protocol):
    """paddle.save of a state dict (python/paddle/framework/io.py, _build_saved_state_dict and _legacy_save)."""
    saved = {name: np.ascontiguousarray(x) for name, x in state.items()}
    saved["StructuredToParameterName@@"] = {name: f"param_{i}" for i, name in enumerate(state)}
    with open(path, "wb") as f:
        pickle.dump(saved, f, protocol=protocol)


def model(folder, prefix, protocol, config):
    out = HERE / folder.name
    out.mkdir(exist_ok=True)
    state = {}
    for name, x in load_file(folder / "model.safetensors").items():
        linear = x.ndim == 2 and "embeddings" not in name
        state[prefix + paddle_name(name)] = x.T if linear else x
    save(state, out / "model_state.pdparams", protocol)
    c = json.loads((folder / "config.json").read_text())
    vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"] if (folder / "tokenizer.json").exists() else {}
    if vocab:
        (out / "vocab.txt").write_text("".join(token + "\n" for token in sorted(vocab, key=vocab.get)))
        (out / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    config(out, c)


KEYS = ["attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range", "max_position_embeddings",
        "num_attention_heads", "num_hidden_layers", "intermediate_size", "type_vocab_size", "vocab_size", "pad_token_id", "layer_norm_eps"]


def init_args(out, c):
    """model_config.json of PaddleNLP before 2.5: the class and what it was called with."""
    args = {k: c[k] for k in KEYS} | {"task_type_vocab_size": c["task_type_vocab_size"], "use_task_id": c["use_task_id"], "init_class": "ErnieModel"}
    (out / "model_config.json").write_text(json.dumps({"init_args": [args], "init_class": "ErnieForSequenceClassification"}, indent=1))


def config_json(out, c):
    """config.json of later versions."""
    (out / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "model_type": "bert", "paddlenlp_version": None, "pool_act": "tanh"}
                                                | {k: c[k] for k in KEYS}, indent=1))


if __name__ == "__main__":
    models = Path(sys.argv[1])
    model(models / "ernie", "ernie.", 4, init_args)
    model(models / "bert", "", 2, config_json)
