"""Tiny decoders with their reference values: make_decoders.py OUT [NAME ...] writes OUT/NAME, and OUT/rope.json where no name is given."""
import json, os, shutil, sys, copy
import torch, transformers, safetensors
from safetensors.torch import save_file
from transformers import (Gemma2Config, Gemma2Model, GraniteConfig, GraniteModel, LlamaConfig, LlamaModel, Olmo2Config, Olmo2Model, Phi3Config, Phi3Model,
                          SmolLM3Config, SmolLM3Model)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

ROOT, NAMES = sys.argv[1], sys.argv[2:]
torch.set_num_threads(1)
VOCAB = 128
VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__, "safetensors": safetensors.__version__}

def fill(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            gain = "norm" in name.lower() and name.endswith("weight")
            p.copy_(1 + 0.1 * torch.randn_like(p) if gain else (0.2 if p.dim() > 1 else 0.1) * torch.randn_like(p))

def pool(h, ids, mask, name, out):
    n = mask.sum(1)
    order = mask.cumsum(1) * mask
    m = mask[..., None].float()
    last = h[torch.arange(4), (order.argmax(1))]
    last8 = (order > (n - 8)[:, None]) & (mask == 1)
    w8 = last8[..., None].float()
    pooled = {"mean": (h * m).sum(1) / m.sum(1), "last": last, "last_8": (h * w8).sum(1) / w8.sum(1),
              "cls": h[torch.arange(4), (order == 1).int().argmax(1)]}
    for k, v in pooled.items():
        out[f"{name}.sentence_embedding.{k}"] = v
        out[f"{name}.sentence_embedding.{k}_norm"] = torch.nn.functional.normalize(v, dim=-1)

def states(model, ids, mask, positions=None):
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, position_ids=positions, output_hidden_states=True).hidden_states

def make(name, cls, config, seed, rewrite=lambda c: None, alone=False, notes={}):
    if NAMES and name not in NAMES:
        return
    d = f"{ROOT}/{name}"
    shutil.rmtree(d, ignore_errors=True); os.makedirs(d)
    torch.manual_seed(seed)
    model = cls(config).eval(); fill(model)
    model.save_pretrained(d)
    for f in os.listdir(d):
        if f not in ("config.json", "model.safetensors"): os.remove(f"{d}/{f}")
    c = json.load(open(f"{d}/config.json")); rewrite(c)
    json.dump(c, open(f"{d}/config.json", "w"), indent=2)
    fresh = lambda: cls.from_pretrained(d, attn_implementation="eager", dtype=torch.float32).eval()
    lengths = torch.tensor([14, 9, 5, 1])
    mask = (torch.arange(14)[None] < lengths[:, None]).long()
    ids = torch.randint(5, VOCAB, mask.shape) * mask
    out = {"right.input_ids": ids, "right.attention_mask": mask}
    if alone:  # the library's angles follow the longest text it has seen; here each text is run by a model of its own
        rows = [states(fresh(), ids[i:i+1, :n], mask[i:i+1, :n]) for i, n in enumerate(lengths.tolist())]
        hs = []
        for layer in range(len(rows[0])):
            h = torch.zeros(4, 14, rows[0][layer].shape[-1])
            for i, r in enumerate(rows): h[i, :r[layer].shape[1]] = r[layer][0]
            hs.append(h)
    else:
        hs = states(fresh(), ids, mask)
    for i, h in enumerate(hs): out[f"right.hidden_states.{i}"] = h
    out["right.last_hidden_state"] = hs[-1]
    pool(hs[-1], ids, mask, "right", out)
    if not alone:
        left = lambda x: torch.stack([torch.cat([x[i, n:], x[i, :n]]) for i, n in enumerate(lengths.tolist())])
        lids, lmask = left(ids), left(mask)
        out["left.input_ids"], out["left.attention_mask"] = lids, lmask
        out["left.last_hidden_state"] = states(fresh(), lids, lmask)[-1]
        pool(out["left.last_hidden_state"], lids, lmask, "left", out)
        pos = (lmask.cumsum(1) - 1).clamp(min=0)
        out["left_pos.position_ids"] = pos
        out["left_pos.last_hidden_state"] = states(fresh(), lids, lmask, pos)[-1]
        r = torch.cat([out["right.last_hidden_state"][i, :n] for i, n in enumerate(lengths.tolist())])
        l = torch.cat([out["left_pos.last_hidden_state"][i, 14-n:] for i, n in enumerate(lengths.tolist())])
        print(name, "left and right differ by", (r - l).abs().max().item(), "scale", r.abs().mean().item())
    save_file({k: v.contiguous().clone() for k, v in out.items()}, f"{d}/expected.safetensors")
    json.dump({"name": name, "seed": seed, "tolerance": {"atol": 2e-5, "rtol": 1e-5}, "notes": notes, "versions": VERSIONS},
              open(f"{d}/expected.json", "w"), indent=1)

make("gemma2", Gemma2Model, Gemma2Config(vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
     num_key_value_heads=2, head_dim=8, max_position_embeddings=128, sliding_window=4, query_pre_attn_scalar=16, attn_logit_softcapping=3.0), 1180,
     notes={"softcap": "3, not 50, so that leaving it out shows"})

def llama(**k):
    return LlamaConfig(vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **k)

def four(scaling):  # the spelling of transformers 4
    def rewrite(c):
        c["rope_theta"] = c.pop("rope_parameters")["rope_theta"]
        c["rope_scaling"] = scaling
    return rewrite

make("llama-rope-yarn", LlamaModel, llama(head_dim=16, max_position_embeddings=64, rope_parameters={"rope_type": "yarn", "rope_theta": 100.0,
     "factor": 4.0, "original_max_position_embeddings": 16}), 1190,
     four({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}))
make("llama-rope-dynamic", LlamaModel, llama(head_dim=8, max_position_embeddings=8, rope_parameters={"rope_type": "dynamic", "rope_theta": 100.0, "factor": 3.0}), 1200,
     four({"type": "dynamic", "factor": 3.0}), alone=True,
     notes={"alone": "each text was run alone by a freshly loaded model: the library's angles follow the longest text it has seen"})

SMALL = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48,
         "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LONG = {"short_factor": [1.0, 1.1, 1.3], "long_factor": [1.0, 2.0, 7.5]}

def four_of_phi3(c):
    del c["rope_parameters"]
    c |= {"rope_theta": 100.0, "partial_rotary_factor": 0.75, "rope_scaling": {"type": "longrope", **LONG}}

make("phi3", Phi3Model, Phi3Config(**SMALL, sliding_window=6, rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}), 1310)
make("phi3-longrope", Phi3Model, Phi3Config(**SMALL, original_max_position_embeddings=8, rope_parameters={"rope_type": "longrope", "rope_theta": 100.0,
     "partial_rotary_factor": 0.75, **LONG}), 1320, four_of_phi3, alone=True,
     notes={"alone": "each text was run alone by a freshly loaded model: the library's angles follow the longest text of a batch"})
make("olmo2", Olmo2Model, Olmo2Config(**SMALL), 1330)
make("granite", GraniteModel, GraniteConfig(**SMALL, embedding_multiplier=3.0, residual_multiplier=0.7, attention_multiplier=0.5, logits_scaling=8.0), 1340)
make("smollm3", SmolLM3Model, SmolLM3Config(**SMALL, no_rope_layer_interval=2, use_sliding_window=True, sliding_window=5), 1350,
     notes={"layers": "the second has no positions and a window"})

if NAMES:
    sys.exit()
cases = []
for p, head, context in [
    ({"rope_type": "default", "rope_theta": 10000.0}, 64, 2048),
    ({"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}, 64, 2048),
    ({"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}, 64, 131072),
    ({"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0, "original_max_position_embeddings": 32768}, 128, 131072),
    ({"rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.7}, 64, 163840),
    ({"rope_type": "yarn", "rope_theta": 150000.0, "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}, 64, 131072),
    ({"rope_type": "yarn", "rope_theta": 10000.0, "factor": 16.0, "attention_factor": 1.25, "beta_fast": 16, "beta_slow": 2}, 96, 4096),
    ({"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0, "partial_rotary_factor": 0.5}, 64, 2048),
    ({"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 4096, "short_factor": [1.0, 1.25, 2.0, 3.5],
      "long_factor": [1.0, 4.0, 16.0, 60.0]}, 8, 131072),
    ({"rope_type": "longrope", "rope_theta": 10000.0, "factor": 2.0, "original_max_position_embeddings": 4096, "short_factor": [1.5] * 3, "long_factor": [2.0] * 3,
      "partial_rotary_factor": 0.75}, 8, 131072),
    ({"rope_type": "longrope", "rope_theta": 10000.0, "attention_factor": 1.19, "original_max_position_embeddings": 4096, "short_factor": [1.5] * 4,
      "long_factor": [2.0] * 4}, 8, 131072),
]:
    c = LlamaConfig(hidden_size=4 * head, num_attention_heads=4, head_dim=head, max_position_embeddings=context, rope_parameters=dict(p))
    if p["rope_type"] == "default":
        from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
        inv, scale = LlamaRotaryEmbedding.compute_default_rope_parameters(c)
    else:
        inv, scale = ROPE_INIT_FUNCTIONS[p["rope_type"]](c)
    cases.append({"rope_parameters": p, "head_dim": head, "max_position_embeddings": context, "attention_scaling": scale, "inv_freq": [float(x) for x in inv]})
json.dump({"versions": VERSIONS, "cases": cases}, open(f"{ROOT}/rope.json", "w"), indent=0)
