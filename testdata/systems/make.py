"""Writes the adapter of repllama/ and expected.json: python make.py DIR, where DIR holds the checkpoints that the script test makes."""
import json
import pathlib
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import AutoModel, AutoTokenizer, MistralConfig, MistralModel

HERE, MADE = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[1])
QUERIES = (HERE / "queries.txt").read_text().splitlines()
DOCUMENTS = (HERE / "documents.txt").read_text().splitlines()
TASK = "Given a web search query, retrieve relevant passages that answer the query."


def ids_of(tok, before, text, behind, limit, bos=None, eos=None):
    """One string is tokenized; where it is too long, the text is cut and the tokens of what is behind it follow."""
    encode = lambda s: tok(s, add_special_tokens=False)["input_ids"]
    room = limit - (bos is not None) - (eos is not None)
    ids = encode(before + text + behind)
    if len(ids) > room:
        tail = encode(behind) if behind else []  # the tiny tokenizer's pieces reach over the border of words; else without its mark
        if encode("a" + behind)[: len(encode("a"))] == encode("a"):
            tail = encode("a" + behind)[len(encode("a")):]
        ids = encode(before + text)[: room - len(tail)] + tail
    return [i for i in [bos, *ids, eos] if i is not None]


def vectors(model, pool, rows):
    out = []
    for ids in rows:
        with torch.no_grad():
            h = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)).last_hidden_state[0]
        out.append(torch.nn.functional.normalize(pool(h), dim=0).tolist())
    return out


def both(path, tok, model, pool, query, document, limit, **special):
    rows = lambda around, texts: [ids_of(tok, around[0], t, around[1], limit, **special) for t in texts]
    return {"query": vectors(model, pool, rows(query, QUERIES)), "document": vectors(model, pool, rows(document, DOCUMENTS))}


def load(name):
    path = MADE / name
    return AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()


def first(h):
    return h[0]


def last(h):
    return h[-1]


def last_8(h):
    return h[-8:].mean(0)


def adapter(base):
    """An adapter under the names and in the file of the published one (peft 0.4), random."""
    torch.manual_seed(3000)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, bias="none", task_type="FEATURE_EXTRACTION", target_modules=[
        "q_proj", "k_proj", "v_proj", "o_proj", "down_proj", "up_proj", "gate_proj"]))
    for name, p in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(p, std=0.3)
    folder = HERE / "repllama-v1-7b-lora-passage"
    folder.mkdir(exist_ok=True)
    torch.save(get_peft_model_state_dict(model), folder / "adapter_model.bin")
    config = {"auto_mapping": None, "base_model_name_or_path": "meta-llama/Llama-2-7b-hf", "bias": "none", "fan_in_fan_out": False,
              "inference_mode": True, "init_lora_weights": True, "layers_pattern": None, "layers_to_transform": None, "lora_alpha": 8,
              "lora_dropout": 0.1, "modules_to_save": None, "peft_type": "LORA", "r": 4, "revision": None,
              "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj", "up_proj", "gate_proj"], "task_type": "FEATURE_EXTRACTION"}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return PeftModel.from_pretrained(AutoModel.from_pretrained(MADE / "Llama-2-7b-hf", dtype=torch.float32, attn_implementation="eager"), folder).eval()


def latent_pooling(w, config, h, skip):
    """The head of modeling_nvembed.py: tokens attend to the latents, a gated network, the mean without the instruction's tokens."""
    norm = lambda x, n: torch.nn.functional.layer_norm(x, x.shape[-1:], w[n + ".weight"], w[n + ".bias"], 1e-5)
    block, heads = "latent_attention_model.cross_attend_blocks.", config["num_cross_heads"]
    q = norm(h, block + "0.norm") @ w[block + "0.fn.to_q.weight"].T
    k, v = (norm(w["latent_attention_model.latents"], block + "0.norm_context") @ w[block + "0.fn.to_kv.weight"].T).chunk(2, -1)
    split = lambda x: x.view(x.shape[0], heads, -1).transpose(0, 1)
    y = torch.nn.functional.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(0, 1).reshape(len(h), -1)
    x = y @ w[block + "0.fn.to_out.weight"].T + h
    a, b = (norm(x, block + "1.norm") @ w[block + "1.fn.net.0.weight"].T + w[block + "1.fn.net.0.bias"]).chunk(2, -1)
    x = (a * torch.nn.functional.gelu(b)) @ w[block + "1.fn.net.2.weight"].T + w[block + "1.fn.net.2.bias"] + x
    return x[skip:].mean(0)


def nv_embed():
    from safetensors.torch import load_file
    path = MADE / "NV-Embed-v1"
    w = {}
    for f in path.glob("*.safetensors"):
        w |= {k: v.float() for k, v in load_file(f).items()}
    config = json.loads((path / "config.json").read_text())
    text = MistralConfig(**{**config["text_config"], "sliding_window": None, "_attn_implementation": "eager"})
    model = MistralModel(text).eval()
    model.load_state_dict({k.removeprefix("embedding_model."): v for k, v in w.items() if k.startswith("embedding_model.")})
    tok = AutoTokenizer.from_pretrained(path)

    def encode(before, text_):
        ids = ids_of(tok, before, text_, "", 4096, bos=1, eos=2)
        with torch.no_grad():
            h = model(input_ids=torch.tensor([ids]), attention_mask=torch.zeros(1, 1, len(ids), len(ids))).last_hidden_state[0]
            skip = len(tok.tokenize(before)) if before else 0
            return torch.nn.functional.normalize(latent_pooling(w, config["latent_attention_config"], h, skip), dim=0).tolist()

    return {"query": [encode(f"Instruct: {TASK}\nQuery: ", q) for q in QUERIES], "document": [encode("", d) for d in DOCUMENTS]}


def rocketqa():
    """The vectors are not normalized; a document is a pair of a title, here none, and its text."""
    path = HERE.parent / "models" / "ernie"  # ../paddle/ernie has its weights
    tok, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()

    def rows(pairs):
        out = []
        for pair in pairs:
            with torch.no_grad():
                out.append(model(**tok(*pair, truncation=True, max_length=64, return_token_type_ids=True, return_tensors="pt")).last_hidden_state[0, 0].tolist())
        return out

    return {"query": rows([(q,) for q in QUERIES]), "document": rows([("", d) for d in DOCUMENTS])}


def main():
    expected = {"rocketqa-v1": rocketqa()}
    tok, model = load("bge-large-en-v1.5")
    expected["bge-large-en-v1.5"] = {
        "query": vectors(model, first, [tok("Represent this sentence for searching relevant passages: " + q, truncation=True, max_length=64)["input_ids"] for q in QUERIES]),
        "document": vectors(model, first, [tok(d, truncation=True, max_length=64)["input_ids"] for d in DOCUMENTS])}
    tok, model = load("Llama-2-7b-hf")
    expected["repllama-v1-7b"] = both("", tok, adapter(model), last, ("query: ", ""), ("passage: ", ""), 512, eos=2)
    tok, model = load("bge-en-icl")
    expected["bge-en-icl"] = both("", tok, model, last, (f"<instruct>{TASK}\n<query>", "\n<response>"), ("", ""), 512, bos=1, eos=2)
    example = {"instruct": TASK, "query": "what sleeps on the sofa", "response": "A cat does."}
    shots = "<instruct>{instruct}\n<query>{query}\n<response>{response}\n\n".format(**example) * 2
    expected["bge-en-icl"]["examples"] = both("", tok, model, last, (shots + f"<instruct>{TASK}\n<query>", "\n<response>"), ("", ""), 4096, bos=1, eos=2)["query"][:3]
    tok, model = load("LLARA-passage")
    words = lambda first_: "".join(f"<s{i}>" for i in range(first_, first_ + 8))
    expected["llara-passage"] = both("", tok, model, last_8, ('" ', ' ", predict the following passage within eight words: ' + words(9)),
                                     ('" ', ' ", summarize the above passage within eight words: ' + words(1)), 532, bos=1)
    tok, model = load("Qwen3-Embedding-8B")
    expected["qwen3-embedding-8b"] = both("", tok, model, last, (f"Instruct: {TASK}\nQuery:", ""), ("", ""), 4096, eos=0)
    expected["nv-embed-v1"] = nv_embed()
    round_ = lambda v: [[float(f"{x:.7g}") for x in row] for row in v]
    lines = [f' "{s}": {{\n' + ",\n".join(f'  "{r}": {json.dumps(round_(v))}' for r, v in roles.items()) + "}" for s, roles in expected.items()]
    (HERE / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
