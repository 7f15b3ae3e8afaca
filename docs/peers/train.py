"""A contender for the training benchmark: fine-tunes with PyTorch, or with sentence-transformers'
own trainer, as an experienced user would by hand.

    train.py KIND MODEL ROWS STEPS [--dropout P] [--batch 8] [--group 8] [--query-len 32]
             [--passage-len 128] [--padding longest|max_length] [--chunk N]

KIND: hand-fp32, hand-bf16 (a PyTorch loop: sdpa attention, InfoNCE over all passages, fused
      AdamW, clipping; bf16 is autocast), hand-bf16-recompute (with gradient checkpointing),
      hand-bf16-gradcache (chunks of N texts, the chunks' randomness replayed),
      st-fp32, st-bf16 (SentenceTransformerTrainer, MultipleNegativesRankingLoss)
ROWS: .jsonl(.gz) with "query", "pos", "neg".
It prints one JSON object: seconds of each step, losses, peak resident memory in MB.
"""
import argparse
import gzip
import json
import os
import random
import resource
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import torch  # noqa: E402

TEMPERATURE, RATE = 0.02, 2e-5


def read_groups(path, group, seed=42):
    """One positive and group - 1 negatives of each row, shuffled."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    rng = random.Random(seed)
    rng.shuffle(rows)
    for row in rows:
        negatives = row.get("neg", [])
        while 0 < len(negatives) < group - 1:
            negatives = negatives + row["neg"]
        yield row["query"], [rng.choice(row["pos"])] + rng.sample(negatives, group - 1)


def batches(o):
    while True:
        batch = []
        for g in read_groups(o.rows, o.group):
            batch.append(g)
            if len(batch) == o.batch:
                yield batch
                batch = []


def embed(model, features):
    hidden = model(**features).last_hidden_state
    weight = features["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    return ((hidden * weight).sum(1) / weight.sum(1)).float()


def info_nce(queries, passages, group):
    normalize = torch.nn.functional.normalize
    scores = normalize(queries) @ normalize(passages).T / TEMPERATURE
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(queries)) * group)


def grad_cache(model, features, loss, autocast, chunk):
    """Gao et al. 2021: embeddings without a graph, the loss's gradient on them, then each chunk again."""
    def chunks(f):
        return [{k: v[i:i + chunk] for k, v in f.items()} for i in range(0, len(f["input_ids"]), chunk)]

    parts, states, vectors = [chunks(f) for f in features], [], []
    with torch.no_grad(), autocast():
        for side in parts:
            states.append([])
            out = []
            for c in side:
                states[-1].append(torch.get_rng_state())
                out.append(embed(model, c))
            vectors.append(torch.cat(out).requires_grad_())
    value = loss(*vectors)
    value.backward()
    for side, side_states, v in zip(parts, states, vectors):
        for c, state, g in zip(side, side_states, v.grad.split(chunk)):
            with torch.random.fork_rng():
                torch.set_rng_state(state)
                with autocast():
                    y = embed(model, c)
            (y * g).sum().backward()
    return value


def by_hand(o):
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(o.model)
    dropout = {} if o.dropout is None else {"hidden_dropout_prob": o.dropout, "attention_probs_dropout_prob": o.dropout}
    model = AutoModel.from_pretrained(o.model, attn_implementation="sdpa", dtype=torch.float32, **dropout)
    if "recompute" in o.kind:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, fused=True)

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled="bf16" in o.kind)

    def tokenize(texts, most):
        return dict(tokenizer(texts, padding=o.padding, truncation=True, max_length=most, return_tensors="pt"))

    def loss(q, p):
        return info_nce(q, p, o.group)

    for _, batch in zip(range(o.steps), batches(o)):
        start = time.perf_counter()
        features = (tokenize([q for q, _ in batch], o.query_len), tokenize([p for _, ps in batch for p in ps], o.passage_len))
        if "gradcache" in o.kind:
            value = grad_cache(model, features, loss, autocast, o.chunk)
        else:
            with autocast():
                vectors = [embed(model, f) for f in features]
            value = loss(*vectors)
            value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield time.perf_counter() - start, value.item()


def sentence_transformers(o):
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    dropout = {} if o.dropout is None else {"hidden_dropout_prob": o.dropout, "attention_probs_dropout_prob": o.dropout}
    model = SentenceTransformer(o.model, device="cpu", config_kwargs=dropout)
    model.max_seq_length = o.passage_len  # one limit for all columns: queries are short anyway
    flat = [g for _, b in zip(range(o.steps), batches(o)) for g in b]
    columns = {"anchor": [q for q, _ in flat], "positive": [p[0] for _, p in flat]}
    for i in range(1, o.group):
        columns[f"negative_{i}"] = [p[i] for _, p in flat]
    steps = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            self.start = time.perf_counter()

        def on_step_end(self, *args, **kwargs):
            steps.append(time.perf_counter() - self.start)

    arguments = SentenceTransformerTrainingArguments(
        output_dir=tempfile.mkdtemp(), num_train_epochs=1, per_device_train_batch_size=o.batch, learning_rate=RATE, weight_decay=0.01,
        bf16="bf16" in o.kind, use_cpu=True, logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True)
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_dict(columns),
        loss=MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE), callbacks=[Clock()])
    trainer.train()
    losses = [h["loss"] for h in trainer.state.log_history if "loss" in h]
    yield from zip(steps, losses)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("kind")
    p.add_argument("model")
    p.add_argument("rows")
    p.add_argument("steps", type=int)
    p.add_argument("--dropout", type=float)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--group", type=int, default=8)
    p.add_argument("--query-len", type=int, default=32)
    p.add_argument("--passage-len", type=int, default=128)
    p.add_argument("--padding", default="longest")
    p.add_argument("--chunk", type=int, default=16)
    o = p.parse_args()
    torch.set_num_threads(int(os.environ.get("PEER_THREADS", os.cpu_count())))
    torch.manual_seed(42)
    run = sentence_transformers if o.kind.startswith("st-") else by_hand
    seconds, losses = zip(*run(o))
    print(json.dumps({"kind": o.kind, "step_seconds": seconds, "loss": losses,
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
