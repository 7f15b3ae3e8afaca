"""A contender for `graft bench --peer`: encodes texts with PyTorch, sentence-transformers or
ONNX Runtime from Python, as an experienced user would by hand.

    encode.py KIND MODEL TEXTS MAX_LENGTH [BATCH_TOKENS]

KIND: hand-fp32, hand-bf16 (a PyTorch loop: sorted by length, batches by token budget),
      st-fp32, st-bf16 (sentence-transformers, batch 32),
      ort, ort-mean, ort-cls (ONNX Runtime's CPU provider on an ONNX file, the same batches; the
      latter two pool the tokens of a file that does not)
MODEL: a sentence-transformers folder; for hand a folder with config.json alone will do: its
weights are random then, which is enough for times. For ort also an ONNX file with tokenizer.json
beside it or in the folder above. TEXTS: .jsonl with a field "text".
It speaks the protocol of runtime/bench.go on standard input and output.
"""
import json
import os
import sys
import time

START = time.perf_counter()
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
THREADS = int(os.environ.get("PEER_THREADS", os.cpu_count()))
os.environ.setdefault("RAYON_NUM_THREADS", str(THREADS))
import numpy as np  # noqa: E402


def batches(lengths, budget):
    """Index lists, longest first, with rows x longest <= budget."""
    batch = []
    for i in np.argsort(-lengths, kind="stable"):
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def pad(rows):
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for r, row in enumerate(rows):
        ids[r, : len(row)] = row
        mask[r, : len(row)] = 1
    return ids, mask


def by_hand(model, tokenizer, texts, budget, dim, run):
    """Tokenizes, sorts, batches and puts the vectors back in order."""
    rows = [e.ids for e in tokenizer.encode_batch_fast(texts)]
    out = np.empty((len(texts), dim), np.float32)
    for batch in batches(np.array(list(map(len, rows))), budget):
        out[batch] = run(*pad([rows[i] for i in batch]))
    return out


def torch_loop(path, tokenizer, budget, dtype):
    import torch
    from transformers import AutoConfig, AutoModel

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    if os.path.exists(path + "/model.safetensors"):
        model = AutoModel.from_pretrained(path, attn_implementation="sdpa")
    else:
        model = AutoModel.from_config(AutoConfig.from_pretrained(path), attn_implementation="sdpa")
    model = model.eval().to(dtype)

    def run(ids, mask):
        mask = torch.from_numpy(mask)
        hidden = model(input_ids=torch.from_numpy(ids), attention_mask=mask).last_hidden_state.float()
        weight = mask.unsqueeze(-1).float()
        return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1).numpy()

    return lambda texts: by_hand(model, tokenizer, texts, budget, model.config.hidden_size, run)


def sentence_transformers(path, max_length, dtype):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(THREADS)
    model = SentenceTransformer(path, device="cpu").to(dtype)
    model.max_seq_length = max_length

    def encode(texts):
        vectors = model.encode(texts, batch_size=32, convert_to_tensor=True, show_progress_bar=False).float()
        return torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()

    return encode


def pool(hidden, mask, how):
    """The mean of the tokens, or the first one, at length 1."""
    weight = mask[:, :, None].astype(np.float32)
    vectors = hidden[:, 0] if how == "cls" else (hidden * weight).sum(1) / weight.sum(1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def onnx_runtime(file, tokenizer, budget, pooling):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    wanted = "last_hidden_state" if pooling else "sentence_embedding"
    out = next(o for o in session.get_outputs() if o.name == wanted)

    def run(ids, mask):
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        y = session.run([out.name], {n: feed[n] for n in names})[0]
        return pool(y, mask, pooling) if pooling else y

    return lambda texts: by_hand(session, tokenizer, texts, budget, out.shape[-1], run)


def place(path):
    """The ONNX file of a model and the folder of its tokenizer."""
    if not path.endswith(".onnx"):
        return path + "/onnx/model.onnx", path
    folder = os.path.dirname(path)
    return path, folder if os.path.exists(folder + "/tokenizer.json") else os.path.dirname(folder)


def main():
    kind, path, given, max_length = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    budget = int(sys.argv[5]) if len(sys.argv) > 5 else 4096
    with open(given, encoding="utf-8") as f:
        texts = [json.loads(line)["text"] for line in f]
    from tokenizers import Tokenizer

    file, folder = place(path)
    tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    family, _, precision = kind.partition("-")
    if family == "ort":
        encode = onnx_runtime(file, tokenizer, budget, precision)
    else:
        import torch

        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        encode = torch_loop(path, tokenizer, budget, dtype) if family == "hand" else sentence_transformers(path, max_length, dtype)
    tokens = sum(len(e.ids) for e in tokenizer.encode_batch(texts))

    def answer(**values):
        print(json.dumps(values), flush=True)

    answer(load_seconds=time.perf_counter() - START, note=kind)
    for line in sys.stdin:
        verb, _, argument = line.strip().partition(" ")
        if verb == "throughput":
            start = time.perf_counter()
            encode(texts)
            answer(seconds=time.perf_counter() - start, docs=len(texts), tokens=tokens)
        elif verb == "latency":
            seconds = []
            for text in texts[:32]:
                start = time.perf_counter()
                encode([text])
                seconds.append(time.perf_counter() - start)
            answer(latencies=seconds)
        elif verb == "vectors":
            np.ascontiguousarray(encode(texts), "<f4").tofile(argument)
            answer(docs=len(texts))
        else:
            answer(error=f"unknown request {verb!r}")


main()
