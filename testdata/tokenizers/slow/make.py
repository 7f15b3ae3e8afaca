"""Writes the vocabularies and cases.json: PYTHONPATH=<sentencepiece> python make.py SHARED, with transformers 4.57.6 and sentencepiece 0.2.3.

SHARED holds data/nfcorpus and data/cmrc2018-chunks-zh; the vocabularies are trained on their first texts.
"""
import gzip
import io
import json
import pathlib
import shutil
import sys
import tempfile

import sentencepiece
from transformers import AddedToken, AutoTokenizer
from transformers.utils import logging

logging.set_verbosity_error()
HERE = pathlib.Path(__file__).parent
DATA = pathlib.Path(sys.argv[1]) / "data"


def read(path, count, cut):
    with gzip.open(DATA / path, "rt") as f:
        return [json.loads(line)["text"][:cut] for line, _ in zip(f, range(count))]


TEXTS = read("nfcorpus/corpus.jsonl.gz", 150, 600) + read("cmrc2018-chunks-zh/corpus.jsonl.gz", 20, 40)
# Normalization rules in the place of nmt_nfkc, whose table has 240 KB: spaces, full-width letters, ligatures, composition, removal.
RULES = {"\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u2003": " ", "\u3000": " ", "\ufb01": "fi", "\u00bd": "1\u20442", "\u2460": "1",
         "\u200b": " ", "\u00ad": "", "\u0001": "", "\uff0c": ",", "\uff01": "!", "A\u030a": "\u00c5", "\u212b": "\u00c5", "e\u0301": "\u00e9",
         **{chr(0xFF21 + i): chr(65 + i) for i in range(26)}, **{chr(0xFF11 + i): chr(49 + i) for i in range(9)}}
BYTES = dict(model_type="bpe", byte_fallback=True, split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
             allow_whitespace_only_pieces=True)


def train(name, texts=TEXTS, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=out, num_threads=1, minloglevel=2,
                                             character_coverage=0.98, **options)
    (HERE / name).write_bytes(out.getvalue())


def vocabularies():
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        points = lambda s: " ".join(f"{ord(c):X}" for c in s)
        rules.write("".join(f"{points(k)}\t{points(v)}\n" for k, v in sorted(RULES.items())))
        rules.flush()
        train("llama.model", vocab_size=400, **BYTES)
        train("gemma.model", vocab_size=400, **BYTES, add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, bos_piece="<bos>",
              eos_piece="<eos>", user_defined_symbols=["<mask>", "<unused0>", "\n\n", "▁▁", "▁▁▁▁", "<start_of_turn>"])
        train("unigram.model", vocab_size=260, model_type="unigram", normalization_rule_tsv=rules.name)
        english = dict(texts=TEXTS[:150], model_type="unigram", bos_id=-1, pad_id=0)
        train("t5.model", **english, vocab_size=112, eos_id=1, unk_id=2, normalization_rule_tsv=rules.name)
        train("albert.model", **english, vocab_size=200, eos_id=-1, unk_id=1, control_symbols=["[CLS]", "[SEP]", "[MASK]"],
              user_defined_symbols=["(", ")", "-"], normalization_rule_tsv=rules.name, split_by_number=False)
        train("deberta.model", texts=TEXTS[:150], model_type="unigram", vocab_size=180, pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]",
              bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", normalization_rule_tsv=rules.name)
    tokenizer = json.loads((HERE.parent / "roberta" / "tokenizer.json").read_text())
    vocab = {token: i for token, i in tokenizer["model"]["vocab"].items() if i < 400}
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    (HERE / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (HERE / "merges.txt").write_text("#version: 0.2\n" + "".join(m + "\n" for m in merges if m.replace(" ", "") in vocab))


def token(content, **more):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True, **more}


LLARA = ["<s9>", "<s12>", "<s7>", "<s14>", "<s3>", "<s6>", "<s15>", "<s5>", "<s1>", "<s10>", "<s13>", "<s2>", "<s11>", "<s4>", "<s8>", "<s16>"]
BASE = {"0": token("<unk>"), "1": token("<s>"), "2": token("</s>")}
OLD = {"content": None, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
NAMES = (("bos", "<s>"), ("eos", "</s>"), ("unk", "<unk>"))
FILE = {"Llama": {"tokenizer.model": "llama.model"}, "Gemma": {"tokenizer.model": "gemma.model"},
        "T5": {"spiece.model": "t5.model"}, "Albert": {"spiece.model": "albert.model"}, "DebertaV2": {"spm.model": "deberta.model"},
        "XLMRoberta": {"sentencepiece.bpe.model": "unigram.model"}, "Camembert": {"sentencepiece.bpe.model": "unigram.model"},
        "Roberta": {"vocab.json": "vocab.json", "merges.txt": "merges.txt"}, "GPT2": {"vocab.json": "vocab.json", "merges.txt": "merges.txt"},
        "Qwen2": {"vocab.json": "vocab.json", "merges.txt": "merges.txt"}}
EXTRA = [f"<extra_id_{i}>" for i in range(8)]
# Each case: class, tokenizer_config.json, special_tokens_map.json, added_tokens.json.
CASES = {
    "llama": ("Llama", {}, None, None),
    "llama-added": ("Llama", {"added_tokens_decoder": {**BASE, **{str(400 + i): token(t) for i, t in enumerate(LLARA)}},
                              "additional_special_tokens": LLARA, "legacy": True, "add_bos_token": True, "add_eos_token": False},
                    {"additional_special_tokens": LLARA}, {t: 400 + i for i, t in enumerate(LLARA)}),
    "llama-not-legacy": ("Llama", {"legacy": False, "add_eos_token": True, "added_tokens_decoder": {
        **BASE, "400": token("<pad>"), "401": token("vitamin", normalized=True, special=False), "402": token("wide", lstrip=True, single_word=True, special=False),
        "403": token("in ", rstrip=True, special=False)}, "pad_token": "<pad>"}, None, None),
    "llama-no-space": ("Llama", {"legacy": False, "add_prefix_space": False, "add_bos_token": False}, None, None),
    "llama-no-space-legacy": ("Llama", {"legacy": True, "add_prefix_space": False}, None, None),
    "llama-2023": ("Llama", {"pad_token": None, **{r + "_token": {"__type": "AddedToken", **OLD, "content": t} for r, t in NAMES}},
                   {**{r + "_token": {**OLD, "content": t} for r, t in NAMES}, "pad_token": "[PAD]", "additional_special_tokens": ["<tool>"]},
                   {"[PAD]": 400, "<tool>": 401, "ordinary": 402}),
    "gemma": ("Gemma", {}, None, None),
    "gemma-end": ("Gemma", {"add_eos_token": True, "add_bos_token": False, "additional_special_tokens": ["<x>"]}, None, None),
    "xlm-roberta": ("XLMRoberta", {}, None, None),
    "xlm-roberta-2020": ("XLMRoberta", {"model_max_length": 512}, {"bos_token": "<s>", "mask_token": {**OLD, "content": "<mask>", "lstrip": True}}, None),
    "xlm-roberta-added": ("XLMRoberta", {}, {"additional_special_tokens": ["<q>"]}, {"word": 262, "<q>": 263}),
    "camembert": ("Camembert", {}, None, None),
    "t5": ("T5", {"extra_ids": 8}, None, None),
    "t5-all": ("T5", {"model_max_length": 512, "extra_ids": 100}, {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}, None),
    "t5-listed": ("T5", {"extra_ids": 8, "additional_special_tokens": EXTRA}, {"additional_special_tokens": EXTRA}, None),
    "t5-decoder": ("T5", {"extra_ids": 8, "additional_special_tokens": EXTRA, "added_tokens_decoder": {
        "0": token("<pad>"), "1": token("</s>"), "2": token("<unk>"), **{str(119 - i): token(t) for i, t in enumerate(EXTRA)}, "120": token("<x>", special=False)}}, None, None),
    "t5-none": ("T5", {"extra_ids": 0}, None, {"word": 112}),
    "t5-not-legacy": ("T5", {"extra_ids": 8, "legacy": False}, None, None),
    "t5-no-space": ("T5", {"extra_ids": 8, "add_prefix_space": False}, None, None),
    "albert": ("Albert", {}, None, None),
    "albert-cased": ("Albert", {"do_lower_case": False, "keep_accents": True, "remove_space": False}, {"mask_token": {**OLD, "content": "[MASK]", "lstrip": True}},
                     {"word": 200}),
    "deberta": ("DebertaV2", {"do_lower_case": False, "vocab_type": "spm"}, None, None),
    "deberta-lower": ("DebertaV2", {"do_lower_case": True, "split_by_punct": True}, None, {"[MASK]": 180, "<x>": 181}),
    "roberta": ("Roberta", {}, None, None),
    "roberta-space": ("Roberta", {"add_prefix_space": True}, {"mask_token": {**OLD, "content": "<mask>", "lstrip": True}}, {"zebra": 400}),
    "gpt2": ("GPT2", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}, {"pad_token": "<pad>"}, None),
    "qwen2": ("Qwen2", {"added_tokens_decoder": {"400": token("<|x|>"), "401": token("<|im_start|>")}, "additional_special_tokens": ["<|im_start|>"],
                        "bos_token": None, "eos_token": "<|x|>", "pad_token": "<|x|>", "unk_token": None}, None, None),
}
IDS = ["llama", "llama-added", "llama-not-legacy", "gemma", "t5", "albert", "albert-cased", "deberta", "deberta-lower", "xlm-roberta", "roberta", "gpt2", "qwen2"]


def case(name, folder):
    kind, config, special, added = CASES[name]
    files = {"tokenizer_config.json": {"tokenizer_class": kind + "Tokenizer", **config}, "special_tokens_map.json": special, "added_tokens.json": added}
    for to, source in FILE[kind].items():
        shutil.copy(HERE / source, folder / to)
    for file, content in files.items():
        if content is not None:
            (folder / file).write_text(json.dumps(content))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    out = {"from": FILE[kind], "files": {k: v for k, v in files.items() if v is not None}, "tokenizer": json.loads(tokenizer.backend_tokenizer.to_str()),
           "special": {r: getattr(tokenizer, r + "_token") for r in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")}, "side": tokenizer.padding_side}
    if name in IDS:
        texts = json.loads((HERE.parent / "texts.json").read_text())["texts"] + json.loads((HERE / "texts.json").read_text())
        out["ids"] = [tokenizer(t)["input_ids"] for t in texts]
    return out


def main():
    vocabularies()
    cases, seen = {}, {}
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            cases[name] = case(name, pathlib.Path(folder))
        model = cases[name]["tokenizer"]["model"]
        for key in ("vocab", "merges"):  # each once
            if key in model and seen.setdefault(json.dumps(model[key]), name) != name:
                model[key] = "as " + seen[json.dumps(model[key])]
    lines = [f"{json.dumps(name)}: {json.dumps(c, ensure_ascii=False)}" for name, c in cases.items()]
    (HERE / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
