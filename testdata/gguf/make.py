"""Make the GGUF files of this folder with llama.cpp's own package: gguf 0.19.0, numpy, safetensors.

    python make.py MODELS      MODELS: testdata/models
"""
import json
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent


def blocks():
    """One matrix in each type, and the values that gguf.quants reads back."""
    rng = np.random.default_rng(7000)
    w = gguf.GGUFWriter(HERE / "blocks.gguf", "blocks")
    expected = {}
    for kind in (Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1):
        x = rng.normal(0, 0.3, (6, 96)).astype(np.float32)
        x[1] *= 1e-6  # subnormal scales
        x[2] = 0
        raw = gguf.quants.quantize(x, kind)
        w.add_tensor(kind.name, raw, raw_shape=raw.shape, raw_dtype=kind)
        expected[kind.name] = gguf.quants.dequantize(raw, kind).astype(np.float32)
    write(w)
    save_file(expected, HERE / "blocks.safetensors")


def permute(x, heads):
    """Rows of a head's two halves in turn: LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def rename(name):
    name = name.removeprefix("model.")
    if name.startswith("layers."):
        _, layer, rest = name.split(".", 2)
        module, kind = rest.rsplit(".", 1)
        return f"blk.{layer}.{NAMES[module]}.{kind}"
    return {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}[name]


def model(folder, arch, pre):
    c = json.loads((folder / "config.json").read_text())
    w = gguf.GGUFWriter(HERE / f"{arch}.gguf", arch)
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_key_length(c["head_dim"])
    w.add_value_length(c["head_dim"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(c["rope_parameters"]["rope_theta"])
    w.add_vocab_size(c["vocab_size"])
    if arch == "qwen3":
        w.add_pooling_type(gguf.PoolingType.LAST)
    tokenizer(w, json.loads((folder.parent / "qwen3" / "tokenizer.json").read_text()), pre)
    for file in sorted(folder.glob("model*.safetensors")):
        for name, x in load_file(file).items():
            if arch == "llama" and name.endswith("q_proj.weight"):
                x = permute(x, c["num_attention_heads"])
            if arch == "llama" and name.endswith("k_proj.weight"):
                x = permute(x, c["num_key_value_heads"])
            w.add_tensor(rename(name), np.ascontiguousarray(x))
    write(w)


def pieces(model):
    """A model of one small block with the pieces, scores and types of a SentencePiece model, as llama.cpp's converter stores Llama 2's."""
    from sentencepiece import SentencePieceProcessor
    s = SentencePieceProcessor(model_file=str(model))
    kind = lambda i: 2 if s.IsUnknown(i) else 3 if s.IsControl(i) else 5 if s.IsUnused(i) else 6 if s.IsByte(i) else 1
    w = gguf.GGUFWriter(HERE / "pieces.gguf", "llama")
    for add, value in ((w.add_context_length, 128), (w.add_embedding_length, 8), (w.add_block_count, 1), (w.add_feed_forward_length, 8),
                       (w.add_head_count, 2), (w.add_head_count_kv, 2), (w.add_layer_norm_rms_eps, 1e-5), (w.add_vocab_size, len(s) + 1)):
        add(value)
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([s.IdToPiece(i) for i in range(len(s))] + ["<|x|>"])
    w.add_token_scores([s.GetScore(i) for i in range(len(s))] + [-1000.0])
    w.add_token_types([kind(i) for i in range(len(s))] + [3])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    rng = np.random.default_rng(7100)
    shapes = {"token_embd": (len(s) + 1, 8), "output_norm": (8,), **{"blk.0." + n: (8, 8) if "norm" not in n else (8,) for n in NAMES.values() if "q_norm" not in n and "k_norm" not in n}}
    for name, shape in shapes.items():
        w.add_tensor(name + ".weight", rng.normal(0, 0.1, shape).astype(np.float32))
    write(w)


def tokenizer(w, t, pre):
    """A tokenizer.json's vocabulary, merges and special tokens."""
    special = {a["id"]: a["content"] for a in t["added_tokens"]}
    tokens = dict(sorted([(i, s) for s, i in t["model"]["vocab"].items()] + list(special.items())))
    assert list(tokens) == list(range(len(tokens)))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(list(tokens.values()))
    w.add_token_types([gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in tokens])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]])
    w.add_eos_token_id(next(iter(special)))
    w.add_add_bos_token(False)
    w.add_add_eos_token(t["post_processor"] is not None and "TemplateProcessing" in json.dumps(t["post_processor"]))


def write(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    models = Path(sys.argv[1])
    blocks()
    model(models / "llama", "llama", "smollm")
    model(models / "qwen3", "qwen3", "qwen2")
    pieces(models.parent / "tokenizers" / "slow" / "llama.model")
