"""A contender for `graft bench --peer`: encodes texts with PyTorch, sentence-transformers or
ONNX Runtime from Python, as an experienced user would by hand.

    encode.py KIND MODEL TEXTS MAX_LENGTH [BATCH_TOKENS]

KIND: hand-fp32, hand-bf16 (a PyTorch loop: sorted by length, batches by token budget),
      st-fp32, st-bf16 (sentence-transformers, batch 32),
      ort (ONNX Runtime's CPU provider on MODEL/onnx/model.onnx, the same batches)
MODEL: a sentence-transformers folder. TEXTS: .jsonl with a field "text".
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
    from transformers import AutoModel

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    model = AutoModel.from_pretrained(path, attn_implementation="sdpa").eval().to(dtype)

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


def onnx_runtime(path, tokenizer, budget):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(path + "/onnx/model.onnx", options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    outputs = {o.name: o for o in session.get_outputs()}
    out = outputs["sentence_embedding"]

    def run(ids, mask):
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return session.run([out.name], {n: feed[n] for n in names})[0]

    return lambda texts: by_hand(session, tokenizer, texts, budget, out.shape[1], run)


def main():
    kind, path, file, max_length = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    budget = int(sys.argv[5]) if len(sys.argv) > 5 else 4096
    with open(file, encoding="utf-8") as f:
        texts = [json.loads(line)["text"] for line in f]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path + "/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    family, _, precision = kind.partition("-")
    if family == "ort":
        encode = onnx_runtime(path, tokenizer, budget)
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
