"""Makes this folder with sentence-transformers: make.py, from the repository's root.

A tiny encoder of T5 with the modules of sentence-t5 and gtr-t5: Transformer, Pooling (mean), Dense without bias and activation, Normalize.
The tokenizer is that of testdata/tokenizers/slow/cases.json, "t5". Saved by the library and put into the layout of its version 2, in which
those models are published; the expected vectors are what the library makes of that folder.
"""
import json, pathlib, shutil, tempfile
import safetensors, sentence_transformers, torch, transformers
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

SEED = 1400
TEXTS = ["The quick brown fox jumps over the lazy dog.", "Where is the capital of France?", "", "patients with vitamin D", "a very long text " * 20, "UPPER lower 123"]
PROMPTS = {"query": "query: ", "document": ""}


def tokenizer(folder):
    case = json.load(open("testdata/tokenizers/slow/cases.json"))["t5"]
    (folder / "tokenizer.json").write_text(json.dumps(case["tokenizer"]))
    special = {role + "_token": token for role, token in case["special"].items() if token}
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), model_max_length=24, model_input_names=["input_ids", "attention_mask"], **special)


def transformer(folder):
    model = T5EncoderModel(T5Config(vocab_size=128, d_model=32, d_kv=4, d_ff=48, num_layers=2, num_heads=4, relative_attention_num_buckets=16,
                                    relative_attention_max_distance=20, dense_act_fn="relu"))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(1 + 0.1 * torch.randn_like(p) if name.endswith("layer_norm.weight") else 0.2 * torch.randn_like(p))
    model.save_pretrained(folder)
    tokenizer(folder).save_pretrained(folder)
    return Transformer(str(folder), max_seq_length=24)


def old(out):
    """The library's files in the layout of its version 2."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")]
    files = {
        "modules.json": [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (path, kind) in enumerate(kinds)],
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
                                  "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False},
        "2_Dense/config.json": {"in_features": 32, "out_features": 24, "bias": False, "activation_function": "torch.nn.modules.linear.Identity"},
    }
    for name, content in files.items():
        (out / name).write_text(json.dumps(content, indent=2) + "\n")
    shutil.rmtree(out / "3_Normalize")


def main(out):
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        first = transformer(pathlib.Path(folder))
        dense = Dense(32, 24, bias=False, activation_function=torch.nn.Identity())
        torch.nn.init.normal_(dense.linear.weight, std=0.2)
        SentenceTransformer(modules=[first, Pooling(32, "mean"), dense, Normalize()], prompts=PROMPTS, device="cpu").save(str(out), create_model_card=False)
    old(out)
    shutil.copy("testdata/tokenizers/slow/t5.model", out / "spiece.model")
    model = SentenceTransformer(str(out), device="cpu")
    vectors = {"none": "", **PROMPTS}
    vectors = {f"embedding.{name}": torch.tensor(model.encode(TEXTS, prompt=prompt, batch_size=1)) for name, prompt in vectors.items()}
    save_file(vectors, out / "st_expected.safetensors")
    versions = {m.__name__: m.__version__ for m in (torch, transformers, sentence_transformers, safetensors)}
    (out / "st_expected.json").write_text(json.dumps({"texts": TEXTS, "prompts": PROMPTS, "max_seq_length": 24, "pooling": "mean", "normalise": True,
                                                      "tolerance": {"atol": 2e-5}, "seed": SEED, "versions": versions}, indent=1))


main(pathlib.Path("testdata/sentence-t5/model"))
