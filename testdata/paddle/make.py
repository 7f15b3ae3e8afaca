"""Make the Paddle checkpoints of this folder with PaddleNLP 3.0.0b4 on paddlepaddle 3.3.1 (safetensors 0.8.0, numpy 1.26.4).

    python make.py MODELS [NAME...]      MODELS: testdata/models

Each checkpoint holds the weights of a tiny model of MODELS, put into PaddleNLP's class of the architecture and saved by it. Before it is
saved, PaddleNLP's own forward pass must give that model's reference values; rocketqa, rope, nvembed and lora keep what PaddleNLP computes.
"""
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import paddle
from paddlenlp.peft import LoRAConfig, LoRAModel
from paddlenlp.transformers import (BertConfig, BertModel, BertTokenizer, ElectraConfig, ElectraModel, ErnieConfig,
                                    ErnieForSequenceClassification, ErnieModel, ErnieTokenizer, LlamaConfig, LlamaForCausalLM, LlamaModel,
                                    MistralConfig, MistralModel, Qwen2Config, Qwen2ForCausalLM, RobertaConfig, RobertaModel,
                                    XLMRobertaConfig, XLMRobertaModel)
from paddlenlp.transformers.nv_embed.modeling import LatentModel, NVEncodeModel
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent
MODELS = Path(sys.argv[1])

ENCODER = {"attention.self.query": "self_attn.q_proj", "attention.self.key": "self_attn.k_proj", "attention.self.value": "self_attn.v_proj",
           "attention.output.dense": "self_attn.out_proj", "attention.output.LayerNorm": "norm1", "intermediate.dense": "linear1",
           "output.dense": "linear2", "output.LayerNorm": "norm2"}
ENCODER_KEYS = ["attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range",
                "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "intermediate_size", "type_vocab_size", "vocab_size",
                "pad_token_id", "layer_norm_eps", "embedding_size", "task_type_vocab_size", "use_task_id"]
DECODER_KEYS = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings"]


def encoder_name(name):
    name = name.replace("embeddings.LayerNorm", "embeddings.layer_norm")
    if "encoder.layer." in name:
        before, rest = name.split("encoder.layer.")
        layer, rest = rest.split(".", 1)
        module, kind = rest.rsplit(".", 1)
        name = f"{before}encoder.layers.{layer}.{ENCODER[module]}.{kind}"
    return name


def torch_state(name):
    """A tiny model's tensors in float32 (bfloat16 as safetensors' numpy reader cannot: widened by hand)."""
    state = {}
    for file in sorted((MODELS / name).glob("model*.safetensors")):
        raw = file.read_bytes()
        n = int.from_bytes(raw[:8], "little")
        for key, t in json.loads(raw[8:8 + n]).items():
            if key == "__metadata__":
                continue
            data = raw[8 + n:][t["data_offsets"][0]:t["data_offsets"][1]]
            if t["dtype"] == "BF16":
                x = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
            else:
                x = np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[t["dtype"]]).astype("<f4")
            state[key] = x.reshape(t["shape"])
    return state


def config(name, keys):
    c = json.loads((MODELS / name / "config.json").read_text())
    return {k: c[k] for k in keys if k in c}


def fill(model, state):
    """Give a model weights by PaddleNLP's names; matrices of nn.Linear are turned."""
    tables = {id(m.weight) for m in model.sublayers(include_self=True) if isinstance(m, paddle.nn.Embedding)}
    new = {}
    for name, own in model.state_dict().items():
        if name not in state:
            print("kept", name)
            continue
        x = state[name]
        if x.ndim == 2 and not any(name.endswith(t) for t in ("embeddings.weight", "embed_tokens.weight")):
            x = x.T
        assert list(x.shape) == list(own.shape), (name, x.shape, own.shape)
        new[name] = paddle.to_tensor(np.ascontiguousarray(x)).astype(own.dtype)
    model.set_state_dict(new)
    model.eval()


def hidden_states(model, e, types=False):
    """The last hidden states of the right-padded batch of a tiny model, whose inputs and outputs are e."""
    kw = {"token_type_ids": paddle.to_tensor(e["right.token_type_ids"])} if types else {}
    with paddle.no_grad():
        out = model(paddle.to_tensor(e["right.input_ids"]), attention_mask=paddle.to_tensor(e["right.attention_mask"]), return_dict=True, **kw)
    return out[0].astype("float32").numpy()


def check(model, name, types=False):
    e = load_file(MODELS / name / "expected.safetensors")
    real = e["right.attention_mask"].astype(bool)
    difference = np.abs(hidden_states(model, e, types) - e["right.last_hidden_state"])[real].max()
    print(f"{name}: PaddleNLP differs by {difference:.2g} from the reference values")
    assert difference < 2e-5, name


def expect(out, values):
    save_file(values, str(out / "expected.safetensors"))
    (out / "expected.json").write_text(json.dumps({"tolerance": {"atol": 2e-5, "rtol": 1e-4}}))


def keep(model, name, out):
    e = load_file(MODELS / name / "expected.safetensors")
    types = "right.token_type_ids" in e
    inputs = {k: v for k, v in e.items() if k in ("right.input_ids", "right.attention_mask", "right.token_type_ids")}
    expect(out, inputs | {"right.last_hidden_state": hidden_states(model, e, types)})


def folder(name):
    out = HERE / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return out


def finish(out, tokenizer=None):
    """Leave what the published folders hold; tokenizer: a class, whose vocabulary is that of the tiny model of the folder's name."""
    (out / "generation_config.json").unlink(missing_ok=True)
    for file in out.iterdir():
        file.chmod(0o644)
    if tokenizer:
        vocab = json.loads((MODELS / out.name / "tokenizer.json").read_text())["model"]["vocab"]
        (out / "vocab.txt").write_text("".join(token + "\n" for token in sorted(vocab, key=vocab.get)))
        tokenizer(str(out / "vocab.txt"), do_lower_case=True).save_pretrained(str(out))


def renamed(state, name=encoder_name, prefix=""):
    return {prefix + name(k): v for k, v in state.items()}


def bert():
    """No prefix; protocol 2, whose bytes are text."""
    out, state = folder("bert"), torch_state("bert")
    model = BertModel(BertConfig(**config("bert", ENCODER_KEYS)))
    fill(model, renamed(state))
    check(model, "bert", types=True)
    model.save_pretrained(out, save_function=lambda state, path: paddle.save(state, path, protocol=2))
    finish(out, BertTokenizer)


def ernie():
    """Names with the prefix, a head beside them, and model_config.json of PaddleNLP before 2.5."""
    out, state = folder("ernie"), torch_state("ernie")
    model = ErnieForSequenceClassification(ErnieConfig(**config("ernie", ENCODER_KEYS)))
    fill(model, renamed(state, prefix="ernie."))
    check(model.ernie, "ernie", types=True)
    model.save_pretrained(out)
    (out / "config.json").unlink()
    args = config("ernie", ENCODER_KEYS) | {"init_class": "ErnieModel"}
    (out / "model_config.json").write_text(json.dumps({"init_args": [args], "init_class": "ErnieForSequenceClassification"}, indent=1))
    finish(out, ErnieTokenizer)


def rocketqa():
    """As RocketQA's encoders: ErnieModel alone, without task types."""
    out, state = folder("rocketqa"), torch_state("ernie-notask")
    model = ErnieModel(ErnieConfig(**config("ernie-notask", ENCODER_KEYS)))
    fill(model, renamed(state))
    keep(model, "ernie-notask", out)  # PaddleNLP's epsilon is 1e-12, whatever the config says, and the tiny model's is not
    model.save_pretrained(out)
    finish(out)


def electra():
    out, state = folder("electra"), torch_state("electra")
    model = ElectraModel(ElectraConfig(**config("electra", ENCODER_KEYS)))
    fill(model, renamed(state))
    check(model, "electra", types=True)
    model.save_pretrained(out)
    finish(out)


def roberta():
    out, state = folder("roberta"), torch_state("roberta")
    model = RobertaModel(RobertaConfig(**config("roberta", ENCODER_KEYS)))
    fill(model, {encoder_name(k.removeprefix("roberta.")): v for k, v in state.items()})
    check(model, "roberta")
    model.save_pretrained(out, safe_serialization=True)
    finish(out)


def xlm_roberta():
    """PaddleNLP's class has transformers' names; float16 in safetensors."""
    out, state = folder("xlm-roberta"), torch_state("xlm-roberta")
    model = XLMRobertaModel(XLMRobertaConfig(**config("xlm-roberta", ENCODER_KEYS)))
    fill(model, state)
    check(model, "xlm-roberta")
    model.to(dtype="float16")
    model.save_pretrained(out, safe_serialization=True)
    finish(out)


def llama():
    """As RepLLaMA's: a language model in shards."""
    out, state = folder("llama"), torch_state("llama")
    model = LlamaForCausalLM(LlamaConfig(**config("llama", DECODER_KEYS)))
    fill(model, {k.replace("model.", "llama.", 1): v for k, v in state.items()})
    check(model.llama, "llama")
    model.save_pretrained(out, max_shard_size="80KB")
    finish(out)


def rope():
    """Configs of longer positions, with what PaddleNLP computes under them with the weights in ./llama."""
    for kind in ("linear", "ntk"):
        out = folder("rope-" + kind)
        c = LlamaConfig.from_pretrained(str(HERE / "llama"))
        c.rope_scaling_type, c.rope_scaling_factor = kind, 4.0
        model = LlamaModel.from_pretrained(str(HERE / "llama"), config=c)
        model.eval()
        keep(model, "llama", out)
        model.config.save_pretrained(out)
        finish(out)


def llama_fused():
    """Query, key and value in one matrix, gate and up in another."""
    out, state = folder("llama-fused"), torch_state("llama")
    c = LlamaConfig(**config("llama", DECODER_KEYS))
    c.fuse_attention_qkv = c.fuse_attention_ffn = True
    model = LlamaModel(c)
    state = {k.removeprefix("model."): np.ascontiguousarray(v.T) if "proj" in k else v for k, v in state.items() if k.startswith("model.")}
    state, _ = LlamaModel.convert_fuse_and_split(model.config, state)
    assert "layers.1.self_attn.qkv_proj.weight" in state and "layers.1.mlp.gate_up_fused_proj.weight" in state
    model.set_state_dict({k: paddle.to_tensor(v) for k, v in state.items()})
    model.eval()
    check(model, "llama")
    model.save_pretrained(out)
    finish(out)


def mistral():
    """As bge-en-icl's: a model without a head; llama's weights, and a window that hides nothing. Shards of safetensors."""
    out, state = folder("mistral"), torch_state("llama")
    model = MistralModel(MistralConfig(**config("llama", DECODER_KEYS), sliding_window=128))
    fill(model, {k.removeprefix("model."): v for k, v in state.items()})
    check(model, "llama")
    model.save_pretrained(out, max_shard_size="80KB", safe_serialization=True)
    finish(out)


def qwen2():
    """A language model in bfloat16, as safetensors."""
    out, state = folder("qwen2"), torch_state("qwen2")
    keys = DECODER_KEYS + ["rope_theta", "use_sliding_window", "sliding_window", "max_window_layers"]
    rope = json.loads((MODELS / "qwen2/config.json").read_text())
    theta = rope.get("rope_theta") or rope["rope_parameters"]["rope_theta"]
    c = config("qwen2", keys) | {"rope_theta": theta}
    model = Qwen2ForCausalLM(Qwen2Config(**c))
    fill(model, {(k if k.startswith("lm_head") else "qwen2." + k.removeprefix("model.")): v for k, v in state.items()})
    check(model.qwen2, "qwen2")
    model.to(dtype="bfloat16")
    model.save_pretrained(out, safe_serialization=True)
    finish(out)


def qwen3():
    """The release has no Qwen3; the names and the layout are those of paddlenlp/transformers/qwen3 on its main branch, by paddle.save."""
    out, state = folder("qwen3"), torch_state("qwen3")
    c = json.loads((MODELS / "qwen3/config.json").read_text())
    c = {k: v for k, v in c.items() if k not in ("rope_parameters", "layer_types", "transformers_version")}
    c |= {"rope_theta": 1000000.0, "rope_scaling": None, "paddlenlp_version": "3.0.0b4.post", "use_recompute": False}
    (out / "config.json").write_text(json.dumps(c, indent=2))
    paddle.save({"qwen3." + k.removeprefix("model."): paddle.to_tensor(np.ascontiguousarray(v.T if "_proj" in k else v)) for k, v in state.items()},
                str(out / "model_state.pdparams"))
    finish(out)


def nvembed():
    """PaddleNLP's NV-Embed: a mistral, and latents whose sizes are the model's. Its vectors are kept, with the first tokens left out too."""
    out, rng = folder("nvembed"), np.random.default_rng(2000)
    paddle.seed(2000)
    c = MistralConfig(vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
                      max_position_embeddings=128)
    model = MistralModel(c)
    model.latent_model = LatentModel(c)
    fill(model, {})
    for name, p in model.named_parameters():
        gain = "norm" in name and name.endswith("weight")
        x = rng.normal(1 if gain else 0, 0.2 if p.ndim == 2 else 0.1, p.shape)
        p.set_value(x.astype("float16").astype("float32"))
    model.eval()
    ids, mask = rng.integers(3, 64, (3, 9)), np.zeros((3, 9), "int64")
    for row, n in enumerate([9, 5, 7]):
        mask[row, :n] = 1
    ids = ids * mask
    vectors = {}
    with paddle.no_grad():
        model._prepare_decoder_attention_mask = NVEncodeModel._prepare_decoder_attention_mask.__get__(model)
        hidden = NVEncodeModel.m_forward(model, paddle.to_tensor(ids), attention_mask=paddle.to_tensor(mask))[0]
        for skip in (0, 2):
            pooled = mask.copy()
            pooled[:, :skip] = 0
            vectors[f"right.pool_mask.instr{skip}"] = pooled
            vectors[f"right.sentence_embedding.instr{skip}"] = model.latent_model(hidden, paddle.to_tensor(pooled)).numpy()
    del model._prepare_decoder_attention_mask
    model.to(dtype="float16")
    model.save_pretrained(out, max_shard_size="20KB")
    expect(out, {"right.input_ids": ids, "right.attention_mask": mask, "right.last_hidden_state": hidden.numpy()} | vectors)
    finish(out)


def lora():
    """An adapter of the model in ./llama as PaddleNLP's training saves it, and the hidden states of the merged model."""
    out, rng = folder("lora"), np.random.default_rng(2001)
    model = LlamaModel.from_pretrained(str(HERE / "llama"))
    model = LoRAModel(model, LoRAConfig(target_modules=[".*q_proj$", ".*down_proj$"], r=2, lora_alpha=6, lora_dropout=0.1,
                                        base_model_name_or_path="../llama"))
    model.mark_only_lora_as_trainable()
    for name, p in model.model.named_parameters():
        if "lora_" in name:
            p.set_value(rng.normal(0, 0.2, p.shape).astype("float32"))
    model.eval()
    keep(model.model, "llama", out)
    model.save_pretrained(str(out))
    finish(out)


ALL = [bert, ernie, rocketqa, electra, roberta, xlm_roberta, llama, rope, llama_fused, mistral, qwen2, qwen3, nvembed, lora]

if __name__ == "__main__":
    for make in ALL:
        if len(sys.argv) < 3 or make.__name__ in sys.argv[2:]:
            paddle.seed(0)
            make()
