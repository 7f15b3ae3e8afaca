"""Tiny checkpoints with their reference values: make_checkpoints.py OUT [NAME ...] writes OUT/NAME.

Weights are random, the library saves them and loads them again, and computes in float32 with eager attention. gte-new is
gte as its authors published it: model_type "new", tensors under "new.", rope_scaling "ntk"; its values are those of the
library's gte class, which the same tensors and angles are given to (as_gte). jina-embeddings-v3-code is jina-embeddings-v3 in
the same way: model_type "xlm-roberta", tensors under "roberta." and beside adapters for two tasks, rotary_emb_base (as_jina_v3). jina-bert has no class in the library: jina_bert.py.
"""
import json, os, shutil, sys, tempfile
import torch, transformers, safetensors
from safetensors.torch import load_file, save_file
from transformers import (AlbertConfig, AlbertModel, AutoModel, DebertaV2Config, DebertaV2Model, EuroBertConfig, EuroBertModel, GemmaConfig, GemmaModel,
                          GteConfig, GteModel, JinaEmbeddingsV3Config, JinaEmbeddingsV3Model, T5Config, T5EncoderModel)

from jina_bert import CONFIG as JINA_BERT, JinaBert

VOCAB = 128
LENGTHS = [14, 9, 5, 1]


def fill(model, seed):
    """Matrices N(0, 0.2), gains 1 + 0.1 N, biases 0.1 N: a wrong epsilon or activation shows."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            gain = ("norm" in name.lower() or "_ln" in name) and name.endswith("weight")
            p.copy_(1 + 0.1 * torch.randn_like(p) if gain else (0.2 if p.dim() > 1 else 0.1) * torch.randn_like(p))


def as_gte(folder):
    """The library's gte with the tensors and the angles of a published checkpoint. NTK-aware scaling there is the base times
    the factor f and every angle over f to the power of 2/d, d being the size of a head: linear scaling of another base."""
    with tempfile.TemporaryDirectory() as copy:
        c = json.load(open(f"{folder}/config.json"))
        f, size = c["rope_scaling"]["factor"], c["hidden_size"] // c["num_attention_heads"]
        c["rope_parameters"] = {"rope_type": "linear", "rope_theta": c.pop("rope_theta") * f, "factor": f ** (2 / size)}
        del c["rope_scaling"]
        c["model_type"] = "gte"
        json.dump(c, open(f"{copy}/config.json", "w"))
        shutil.copy(f"{folder}/model.safetensors", copy)
        return GteModel.from_pretrained(copy, attn_implementation="eager", dtype=torch.float32).eval()


def publish(folder):
    """What the library saved of gte, in the form of its authors' code."""
    c = json.load(open(f"{folder}/config.json"))
    for key in ("rope_parameters", "transformers_version", "dtype"):
        del c[key]
    c |= {"architectures": ["NewForTokenClassification"], "model_type": "new", "torch_dtype": "float32", "layer_norm_type": "layer_norm",
          "logn_attention_clip1": False, "logn_attention_scale": False, "pack_qkv": True, "position_embedding_type": "rope",
          "rope_theta": 100.0, "rope_scaling": {"factor": 8.0, "type": "ntk"}, "unpad_inputs": False, "use_memory_efficient_attention": False}
    json.dump(c, open(f"{folder}/config.json", "w"), indent=2)
    tensors = {f"new.{k}": v for k, v in load_file(f"{folder}/model.safetensors").items()}
    tensors |= {"classifier.weight": torch.randn(1, c["hidden_size"]), "classifier.bias": torch.randn(1)}
    save_file(tensors, f"{folder}/model.safetensors", {"format": "pt"})


def as_jina_v3(folder):
    """The library's class with the tensors of a published checkpoint, of no task."""
    with tempfile.TemporaryDirectory() as copy:
        c = json.load(open(f"{folder}/config.json"))
        c |= {"model_type": "jina_embeddings_v3", "rope_parameters": {"rope_type": "default", "rope_theta": c["rotary_emb_base"]}}
        json.dump(c, open(f"{copy}/config.json", "w"))
        tensors = {k.removeprefix("roberta.").replace(".parametrizations.weight.original", ".weight"): v
                   for k, v in load_file(f"{folder}/model.safetensors").items() if ".lora_" not in k}
        save_file(tensors, f"{copy}/model.safetensors", {"format": "pt"})
        return JinaEmbeddingsV3Model.from_pretrained(copy, attn_implementation="eager", dtype=torch.float32).eval()


def publish_jina_v3(folder):
    """What the library saved, in the form of its authors' code: an adapter for each task beside every matrix."""
    c = json.load(open(f"{folder}/config.json"))
    for key in ("rope_parameters", "transformers_version", "dtype"):
        del c[key]
    c |= {"architectures": ["XLMRobertaLoRA"], "model_type": "xlm-roberta", "torch_dtype": "float32", "position_embedding_type": "rotary",
          "rotary_emb_base": 500.0, "load_trained_adapters": True, "lora_adaptations": ["retrieval.query", "retrieval.passage"],
          "lora_alpha": 1, "lora_dropout_p": 0.0, "lora_main_params_trainable": False, "lora_rank": 4}
    json.dump(c, open(f"{folder}/config.json", "w"), indent=2)
    tensors = {}
    for name, w in load_file(f"{folder}/model.safetensors").items():
        stem, kind = f"roberta.{name}".rsplit(".", 1)
        if w.dim() < 2:
            tensors[f"{stem}.{kind}"] = w
            continue
        rows, columns = w.shape
        shapes = ((rows, 4), (4, columns)) if "embeddings" in name else ((4, columns), (rows, 4))
        tensors[f"{stem}.parametrizations.weight.original"] = w
        for letter, shape in zip("AB", shapes):
            tensors[f"{stem}.parametrizations.weight.0.lora_{letter}"] = torch.randn(2, *shape)
    save_file(tensors, f"{folder}/model.safetensors", {"format": "pt"})


def load(folder):
    config = json.load(open(f"{folder}/config.json"))
    kind = config["model_type"]
    if kind == "new":
        return as_gte(folder)
    if config.get("position_embedding_type") == "alibi":
        return JinaBert.load(folder)
    if config.get("position_embedding_type") == "rotary":
        return as_jina_v3(folder)
    cls = T5EncoderModel if kind == "t5" else AutoModel  # which takes t5 for the whole
    return cls.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def pool(h, mask, name, out):
    order, n = mask.cumsum(1) * mask, mask.sum(1)
    of = lambda kept: (h * kept[..., None]).sum(1) / kept.sum(1)[:, None]
    pooled = {"mean": of(mask), "last_8": of(mask * (order > (n - 8)[:, None])),
              "cls": of(mask * (order == 1)), "last": of(mask * (order == n[:, None]))}
    for k, v in pooled.items():
        out[f"{name}.sentence_embedding.{k}"] = v
        out[f"{name}.sentence_embedding.{k}_norm"] = torch.nn.functional.normalize(v, dim=-1)


def make(folder, model, seed, rewrite=None):
    """Saves a model and what it computes of four texts, padded right, and left where that is no other position."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    fill(model, seed)
    model.save_pretrained(folder)
    for f in set(os.listdir(folder)) - {"config.json", "model.safetensors"}:
        os.remove(f"{folder}/{f}")
    if rewrite:
        rewrite(folder)
    model = load(folder)
    lengths = torch.tensor(LENGTHS)
    mask = (torch.arange(max(LENGTHS))[None] < lengths[:, None]).long()
    ids = torch.randint(5, VOCAB, mask.shape) * mask
    types = {}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        types = {"token_type_ids": torch.randint(0, model.config.type_vocab_size, mask.shape) * mask}
    states = lambda **given: model(output_hidden_states=True, **given).hidden_states
    with torch.no_grad():
        h = states(input_ids=ids, attention_mask=mask, **types)
        out = {"right.input_ids": ids, "right.attention_mask": mask, "right.last_hidden_state": h[-1]}
        out |= {f"right.{k}": v for k, v in types.items()} | {f"right.hidden_states.{i}": x for i, x in enumerate(h)}
        pool(h[-1], mask, "right", out)
        if types:
            out["zero_types.last_hidden_state"] = states(input_ids=ids, attention_mask=mask)[-1]
    save_file({k: v.contiguous().clone() for k, v in out.items()}, f"{folder}/expected.safetensors")
    with open(f"{folder}/expected.json", "w") as f:
        json.dump({"name": os.path.basename(folder), "seed": seed, "tolerance": {"atol": 2e-5, "rtol": 1e-5},
                   "versions": {m.__name__: m.__version__ for m in (torch, transformers, safetensors)}}, f, indent=1)
    print(folder, len(out), "tensors, mean size", h[-1].abs().mean().item())


def gte(**k):
    return GteModel(GteConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
                              max_position_embeddings=64, pad_token_id=0, **k))


def albert():
    return AlbertModel(AlbertConfig(vocab_size=VOCAB, embedding_size=16, hidden_size=32, num_hidden_layers=5, num_hidden_groups=2, num_attention_heads=4,
                                    intermediate_size=48, max_position_embeddings=64))


def deberta(**k):
    return DebertaV2Model(DebertaV2Config(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
                                          max_position_embeddings=64, relative_attention=True, **k))


def eurobert():
    return EuroBertModel(EuroBertConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                                        intermediate_size=48, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2, mask_token_id=3))


def jina_v3():
    return JinaEmbeddingsV3Model(JinaEmbeddingsV3Config(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
                                                        max_position_embeddings=64))


def t5(**k):
    return T5EncoderModel(T5Config(vocab_size=VOCAB, d_model=32, d_kv=4, d_ff=48, num_layers=3, num_heads=4, relative_attention_num_buckets=16,
                                   relative_attention_max_distance=20, **k))


def gemma():
    return GemmaModel(GemmaConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                                  intermediate_size=48, max_position_embeddings=64))


CASES = {
    "gte": (1210, lambda: gte(type_vocab_size=2), None),
    "gte-new": (1220, lambda: gte(type_vocab_size=0), publish),
    "albert": (1230, albert, None),
    "deberta-v2": (1280, lambda: deberta(max_relative_positions=10, position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type="p2c|c2p",
                                         position_biased_input=False), None),
    "deberta-v2-input": (1290, lambda: deberta(max_relative_positions=8, pos_att_type=["c2p"], type_vocab_size=2, embedding_size=16), None),
    "eurobert": (1240, eurobert, None),
    "gemma": (1270, gemma, None),
    "jina-embeddings-v3": (1300, jina_v3, None),
    "jina-embeddings-v3-code": (1310, jina_v3, publish_jina_v3),
    "jina-bert": (1320, lambda: JinaBert(JINA_BERT | {"feed_forward_type": "geglu"}, False), None),
    "jina-bert-code": (1330, lambda: JinaBert(JINA_BERT | {"feed_forward_type": "geglu"}, True), None),
    "jina-bert-original": (1340, lambda: JinaBert(JINA_BERT | {"feed_forward_type": "original"}, False), None),
    "t5": (1250, t5, None),
    "t5-gated": (1260, lambda: t5(feed_forward_proj="gated-gelu"), None),
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[2:] or CASES:
        seed, model, rewrite = CASES[name]
        make(f"{sys.argv[1]}/{name}", model(), seed, rewrite)
