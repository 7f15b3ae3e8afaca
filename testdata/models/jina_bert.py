"""The encoder of jina-embeddings-v2 in torch, which no library has: modules are named as in its published checkpoints.

BERT (post-norm) without positions; head h of n adds -m·|i - j| to the score of places i and j, where m = 2^(-8h/n) for h = 1 .. n
(Press et al. 2021; n a power of two). A feed-forward network of feed_forward_type "geglu" is wo(gelu(a) * b), where a and b are
the halves of gated_layers(x), and its norm is its own. "post_norm" in the config stands for the version of the code models:
queries and keys are normalized over all heads, the attention's result, which is normalized with its input as in BERT, is added to
that input once more and normalized again, and the halves are the other way round: down(a * gelu(b)).
"""
import json, types
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

CONFIG = {"architectures": ["JinaBertModel"], "model_type": "bert", "position_embedding_type": "alibi", "hidden_act": "gelu", "hidden_size": 32,
          "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, "max_position_embeddings": 64, "type_vocab_size": 2,
          "layer_norm_eps": 1e-12, "vocab_size": 128, "pad_token_id": 0, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.0,
          "emb_pooler": "mean", "torch_dtype": "float32"}


def tree(**children):
    """A module of modules under their names."""
    return nn.ModuleDict(children)


class JinaBert(nn.Module):
    def __init__(self, config, post_norm):
        super().__init__()
        self.raw, self.post_norm, self.config = config, post_norm, types.SimpleNamespace(**config)
        n, m, eps = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        norm = lambda: nn.LayerNorm(n, eps=eps)
        table = lambda rows: nn.Embedding(rows, n)

        def layer():
            own = {"query": nn.Linear(n, n), "key": nn.Linear(n, n), "value": nn.Linear(n, n)}
            if post_norm:
                own |= {"layer_norm_q": norm(), "layer_norm_k": norm()}
            parts = {"attention": tree(self=tree(**own), output=tree(dense=nn.Linear(n, n), LayerNorm=norm()))}
            if config["feed_forward_type"] == "original":
                parts |= {"intermediate": tree(dense=nn.Linear(n, m)), "output": tree(dense=nn.Linear(m, n), LayerNorm=norm())}
            elif post_norm:
                parts |= {"mlp": tree(up_gated_layer=nn.Linear(n, 2 * m, bias=False), down_layer=nn.Linear(m, n)), "layer_norm_1": norm(), "layer_norm_2": norm()}
            else:
                parts["mlp"] = tree(gated_layers=nn.Linear(n, 2 * m, bias=False), wo=nn.Linear(m, n), layernorm=norm())
            return tree(**parts)

        self.embeddings = tree(word_embeddings=table(config["vocab_size"]), token_type_embeddings=table(config["type_vocab_size"]), LayerNorm=norm())
        self.encoder = tree(layer=nn.ModuleList(layer() for _ in range(config["num_hidden_layers"])))

    @staticmethod
    def load(folder):
        tensors = load_file(f"{folder}/model.safetensors")
        model = JinaBert(json.load(open(f"{folder}/config.json")), any("layer_norm_q" in k for k in tensors))
        model.load_state_dict(tensors)
        return model.eval()

    def save_pretrained(self, folder):
        save_file(self.state_dict(), f"{folder}/model.safetensors", {"format": "pt"})
        json.dump(self.raw, open(f"{folder}/config.json", "w"), indent=2)

    def attend(self, a, x, hidden):
        """Softmax of the scores with the biases and the mask as numbers, over the heads one by one."""
        own, heads = a["self"], self.config.num_attention_heads
        q, k, v = own["query"](x), own["key"](x), own["value"](x)
        if self.post_norm:
            q, k = own["layer_norm_q"](q), own["layer_norm_k"](k)
        size, n = x.shape[-1] // heads, x.shape[1]
        away = (torch.arange(n)[:, None] - torch.arange(n)[None]).abs().float()
        parts = []
        for h in range(heads):
            of = slice(h * size, (h + 1) * size)
            scores = q[..., of] @ k[..., of].transpose(1, 2) / size ** 0.5 - 2 ** (-8 * (h + 1) / heads) * away
            parts.append((scores + hidden[:, None]).softmax(-1) @ v[..., of])
        return a["output"]["LayerNorm"](a["output"]["dense"](torch.cat(parts, -1)) + x)

    def feed(self, l, x):
        if self.config.feed_forward_type == "original":
            return l["output"]["LayerNorm"](l["output"]["dense"](F.gelu(l["intermediate"]["dense"](x))) + x)
        if self.post_norm:
            a, b = l["mlp"]["up_gated_layer"](x).chunk(2, -1)
            return l["layer_norm_2"](l["mlp"]["down_layer"](a * F.gelu(b)) + x)
        a, b = l["mlp"]["gated_layers"](x).chunk(2, -1)
        return l["mlp"]["layernorm"](l["mlp"]["wo"](F.gelu(a) * b) + x)

    def forward(self, input_ids, attention_mask, token_type_ids=None, output_hidden_states=False):
        hidden = (1 - attention_mask.float()) * torch.finfo(torch.float32).min
        types_ = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        e = self.embeddings
        x = e["LayerNorm"](e["word_embeddings"](input_ids) + e["token_type_embeddings"](types_))
        states = [x]
        for l in self.encoder["layer"]:
            y = self.attend(l["attention"], x, hidden)
            if self.post_norm:
                y = l["layer_norm_1"](y + x)
            x = self.feed(l, y)
            states.append(x)
        return types.SimpleNamespace(last_hidden_state=x, hidden_states=states)
