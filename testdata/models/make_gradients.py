"""Loss and first gradients of the tiny checkpoints: make_gradients.py ROOT [NAME ...] writes ROOT/NAME/gradients.safetensors.

Queries are rows 0 and 1 of the right-padded batch in expected.safetensors, their passages rows 2 and 3; each text runs alone,
the shortest first (dynamic angles follow the longest text so far). Loss: cross entropy of the cosines of mean-pooled vectors
over 0.05. A tensor of more than 512 elements is stored as every (n // 256)-th of its gradient, and its norm.
"""
import json, os, sys, tempfile
import torch
from safetensors.torch import load_file, save_file
from transformers import MistralConfig, MistralModel

from make_checkpoints import load

RENAMED = ("nomic-bert", "gte", "gte-new", "jina-embeddings-v3", "jina-embeddings-v3-code")  # the class has other names than the checkpoint

root, names = sys.argv[1], sys.argv[2:]
torch.set_num_threads(1)


class NVEmbed(torch.nn.Module):
    """The published code's arithmetic over transformers' mistral, its window ignored, every token seeing all."""

    def __init__(self, folder):
        super().__init__()
        raw = json.load(open(f"{folder}/config.json"))
        config = dict(raw.get("text_config") or raw)
        self.head = raw.get("latent_attention_config") or raw
        self.weights = torch.nn.ParameterDict()
        self.names = {}
        tensors = {k: v.float() for k, v in load_file(f"{folder}/model.safetensors").items()}
        for key in ("architectures", "auto_map", "model_type", "_name_or_path"):
            config.pop(key, None)
        self.mistral = MistralModel(MistralConfig(**config, attn_implementation="eager"))
        self.mistral.load_state_dict({k.removeprefix("embedding_model."): v for k, v in tensors.items() if k.startswith("embedding_model.")})
        for k, v in tensors.items():
            if k.startswith("latent_attention_model."):
                self.names[k.replace(".", "/")] = k
                self.weights[k.replace(".", "/")] = torch.nn.Parameter(v)

    def named_parameters(self, *_, **__):
        yield from ((f"embedding_model.{k}", v) for k, v in self.mistral.named_parameters())
        yield from ((self.names[k], v) for k, v in self.weights.items())

    def forward(self, ids, kept):
        n = ids.shape[1]
        everything = torch.zeros(1, 1, n, n)
        hidden = self.mistral(input_ids=ids, attention_mask={"full_attention": everything, "sliding_attention": everything}
                              if getattr(self.mistral.config, "layer_types", None) else everything).last_hidden_state
        w = lambda part: self.weights[("latent_attention_model." + part).replace(".", "/")]
        norm = lambda x, part: torch.nn.functional.layer_norm(x, x.shape[-1:], w(part + ".weight"), w(part + ".bias"))
        attention, feed = "cross_attend_blocks.0", "cross_attend_blocks.1"
        latents = norm(w("latents"), f"{attention}.norm_context")
        q = norm(hidden, f"{attention}.norm") @ w(f"{attention}.fn.to_q.weight").T
        k, v = (latents @ w(f"{attention}.fn.to_kv.weight").T).chunk(2, -1)
        heads = self.head.get("num_cross_heads", self.head.get("cross_heads"))
        split = lambda x: x.reshape(*x.shape[:-1], heads, -1).transpose(-3, -2)
        y = torch.nn.functional.scaled_dot_product_attention(split(q), split(k)[None], split(v)[None])
        x = y.transpose(-3, -2).reshape(1, n, -1) @ w(f"{attention}.fn.to_out.weight").T + hidden
        h = norm(x, f"{feed}.norm") @ w(f"{feed}.fn.net.0.weight").T + w(f"{feed}.fn.net.0.bias")
        value, gate = h.chunk(2, -1)
        x = (value * torch.nn.functional.gelu(gate)) @ w(f"{feed}.fn.net.2.weight").T + w(f"{feed}.fn.net.2.bias") + x
        return x[0][kept]


def vector(model, ids, mask, types, kept):
    n = int(mask.sum())
    if isinstance(model, NVEmbed):
        return model(ids[None, :n], kept[:n].bool()).mean(0)
    extra = {"token_type_ids": types[None, :n]} if types is not None else {}
    return model(input_ids=ids[None, :n], attention_mask=mask[None, :n], **extra).last_hidden_state[0].mean(0)


def gradients(model, name):
    """Gradients by name: the class's, or where the class splits and renames its checkpoint, the checkpoint's."""
    found = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    if name not in RENAMED:
        return found
    with tempfile.TemporaryDirectory() as folder:  # the library's own way back
        for p in model.parameters():
            p.data = torch.zeros_like(p) if p.grad is None else p.grad
        model.save_pretrained(folder)
        return {key: g for key, g in load_file(f"{folder}/model.safetensors").items() if g.any()}  # a pooler has none


for name in names or sorted(os.listdir(root)):
    folder = f"{root}/{name}"
    if not os.path.exists(f"{folder}/expected.safetensors"):
        continue
    data = load_file(f"{folder}/expected.safetensors")
    ids, mask, types = data["right.input_ids"], data["right.attention_mask"], data.get("right.token_type_ids")
    kept = mask  # NV-Embed without an instruction
    if name == "nvembed":
        model = NVEmbed(folder).eval()
    else:
        model = load(folder)
    rows = [None] * 4
    for i in mask.sum(1).argsort().tolist():
        rows[i] = vector(model, ids[i], mask[i], None if types is None else types[i], kept[i])
    want = data.get("right.sentence_embedding.mean", data.get("right.sentence_embedding.instr0"))
    off = (torch.stack(rows) - want).abs().max().item()
    v = torch.nn.functional.normalize(torch.stack(rows), dim=-1)
    loss = torch.nn.functional.cross_entropy(v[:2] @ v[2:].T / 0.05, torch.arange(2))
    loss.backward()
    out = {"loss": loss.detach().reshape(1)}
    for key, g in gradients(model, name).items():
        g = g.flatten()
        if g.numel() <= 512:
            out[key] = g
        else:
            out[key + "#sample"], out[key + "#norm"] = g[:: g.numel() // 256].clone(), g.norm().reshape(1)
    print(name, "vectors differ by", off, "loss", loss.item(), len(out), "tensors")
    assert off < 1e-4
    save_file(out, f"{folder}/gradients.safetensors")
