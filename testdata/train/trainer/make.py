"""Runs of transformers' Trainer: make.py MODELS OUT writes OUT, the cases below with their rows and what each step was.

The Trainer cuts the batches, adds up gradients, clips, schedules and decays; the loss is computed here, plainly. A case's
options are the fields of graft's train.Options. Rows have one positive and as many negatives as a group takes, in the order
of the file, so nothing is drawn.
"""
import json, math, os, random, sys, tempfile
import torch, transformers
import torch.nn.functional as F
from transformers import AutoConfig, AutoModel, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

CASES = {
    "accumulation whose last is incomplete": dict(
        model="bert", rows=14, Objective="all-passages", SentencePoolingMethod="mean", TrainGroupSize=3, PerDeviceTrainBatchSize=3,
        GradientAccumulationSteps=3, NumTrainEpochs=3.5, LRSchedulerType="cosine", WarmupRatio=0.13, LearningRate=1e-3, WeightDecay=2,
        MaxGradNorm=0.3, AdamBeta2=0.98, AdamEpsilon=1e-6, Temperature=0.07, QueryInstruction="query : ", PassageInstruction="passage : "),
    "steps over several epochs": dict(
        model="llama", rows=11, Objective="in-batch", SentencePoolingMethod="last", TrainGroupSize=3, PerDeviceTrainBatchSize=4, MaxSteps=7,
        LRSchedulerType="constant", WarmupSteps=2, LearningRate=1e-3, Margin=0.35, Temperature=0.5, UseMatryoshka=True, MatryoshkaDims=[5, 17],
        MatryoshkaLossWeights=[0.7, 1.3], MatryoshkaFullDim=True, AdamBeta1=0.8, WeightDecay=0.3),
    "biases, their own groups": dict(
        model="qwen2", rows=11, Objective="own-group", SentencePoolingMethod="last", FineTuneType="bitfit", TrainGroupSize=3, NumTrainEpochs=2,
        PerDeviceTrainBatchSize=4, DataloaderDropLast=True, LRSchedulerType="linear", LearningRate=2e-2, Temperature=0.07, Margin=0.35, MaxGradNorm=0.5),
    "a file without in-batch negatives, a teacher's scores": dict(
        model="bert", rows=10, file="rows_no_in_batch_neg.jsonl", Objective="all-passages", SentencePoolingMethod="weightedmean", TrainGroupSize=4,
        PerDeviceTrainBatchSize=3, NumTrainEpochs=1.5, LRSchedulerType="linear", WarmupRatio=0.3, LearningRate=1e-3, Temperature=0.5,
        Distill="kl", DistillWeight=0.3, PassageInstruction="passage : "),
    "margins, inner products": dict(
        model="roberta", rows=10, Objective="all-passages", SentencePoolingMethod="max", TrainGroupSize=3, PerDeviceTrainBatchSize=5, NumTrainEpochs=3,
        LRSchedulerType="linear", LearningRate=3e-4, Normalized=False, Distill="margin-mse", MaxGradNorm=0, MaskFalseNegatives=False),
}
DEFAULTS = dict(QueryMaxLen=12, PassageMaxLen=16, GradientAccumulationSteps=1, NumTrainEpochs=1, MaxSteps=0, WarmupSteps=0, WarmupRatio=0, WeightDecay=0,
                MaxGradNorm=1, AdamBeta1=0.9, AdamBeta2=0.999, AdamEpsilon=1e-8, Temperature=0.02, Margin=0.2, Normalized=True, QueryInstruction="",
                PassageInstruction="", MaskFalseNegatives=True, DataloaderDropLast=False, FineTuneType="sft", Distill="", UseMatryoshka=False)
WORDS = "the quick brown fox jumps over a lazy dog where is capital of france very long text and that".split()


def make_rows(draw, n, negatives, scores):
    """Some positives occur in several rows, and some are another row's negative; some rows have a prompt of their own."""
    rows, positives = [], []
    for i in range(n):
        say = lambda least, most: " ".join(draw.choice(WORDS) for _ in range(draw.randint(least, most)))
        row = {"query": f"{i} {say(1, 7)}", "pos": [f"{i} {say(2, 14)}"], "neg": [f"{i} {j} {say(1, 16)}" for j in range(negatives)]}
        if positives and draw.random() < 0.3:
            row["pos"] = [draw.choice(positives)]
        elif positives and draw.random() < 0.5:
            row["neg"][0] = draw.choice(positives)
        positives += row["pos"]
        if scores:
            row["pos_scores"], row["neg_scores"] = [round(draw.uniform(0, 4), 3)], [round(draw.uniform(-4, 2), 3) for _ in range(negatives)]
        if draw.random() < 0.3:
            row["prompt"] = "find it : "
        rows.append(row)
    return rows


class Pooled(torch.nn.Module):
    def __init__(self, model, how):
        super().__init__()
        self.model, self.how = model, how

    def forward(self, ids, mask):
        h = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        m = mask[..., None].float()
        if self.how == "weightedmean":
            m = m * torch.arange(1, h.shape[1] + 1)[None, :, None]
        if self.how in ("mean", "weightedmean"):
            return (h * m).sum(1) / m.sum(1)
        if self.how == "max":
            return h.masked_fill(m == 0, -math.inf).max(1).values
        return h[:, 0] if self.how == "cls" else h[torch.arange(len(h)), mask.sum(1) - 1]


def batch_loss(o, rows, queries, passages, group):
    temperature = o["Temperature"] if o["Normalized"] else 1.0
    dims, weights = [queries.shape[1]], [1.0]
    if o["UseMatryoshka"]:
        dims, weights = o["MatryoshkaDims"] + dims, o["MatryoshkaLossWeights"] + weights
    n, texts = len(rows), [t for r in rows for t in (r["pos"] + r["neg"])[:group]]
    hidden = torch.zeros(n, n * group, dtype=torch.bool)
    for i, row in enumerate(rows):
        for j, text in enumerate(texts):
            known = o["MaskFalseNegatives"] and text == row["pos"][0] and j != i * group
            apart = o["Objective"] == "own-group" or "no_in_batch_neg" in o.get("file", "")
            hidden[i, j] = known or apart and j // group != i
    total = 0
    for d, weight in zip(dims, weights):
        q, p = queries[:, :d], passages[:, :d]
        if o["Normalized"]:
            q, p = F.normalize(q, dim=-1), F.normalize(p, dim=-1)
        s = q @ p.T
        own = torch.stack([s[i, i * group:(i + 1) * group] for i in range(n)]) / temperature
        if o["Objective"] == "in-batch":
            s = s - o["Margin"] * torch.eye(n)
        value = F.cross_entropy((s / temperature).masked_fill(hidden, -math.inf), torch.arange(n) * group)
        teacher = torch.tensor([r["pos_scores"] + r["neg_scores"] for r in rows]) if o["Distill"] else None
        if o["Distill"] == "kl":
            value = value + o["DistillWeight"] * F.cross_entropy(own, teacher.softmax(1))
        elif o["Distill"] == "margin-mse":
            value = F.mse_loss(own[:, :1] - own[:, 1:], teacher[:, :1] - teacher[:, 1:])
        total = total + weight * value
    return total


class Contrastive(Trainer):
    model_accepts_loss_kwargs = False

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        o, rows = self.options, inputs["rows"]
        group = 1 if o["Objective"] == "in-batch" else o["TrainGroupSize"]

        def vectors(texts, most):
            ids = [self.tokenizer(t, truncation=True, max_length=most)["input_ids"] for t in texts]
            width = max(map(len, ids))
            return model(torch.tensor([i + [0] * (width - len(i)) for i in ids]), torch.tensor([[1] * len(i) + [0] * (width - len(i)) for i in ids]))

        queries = vectors([r.get("prompt", o["QueryInstruction"]) + r["query"] for r in rows], o["QueryMaxLen"])
        passages = vectors([o["PassageInstruction"] + t for r in rows for t in (r["pos"] + r["neg"])[:group]], o["PassageMaxLen"])
        loss = batch_loss(o, rows, queries, passages, group)
        self.losses.setdefault(self.state.global_step, []).append(loss.item())
        return loss


class Record(TrainerCallback):
    def __init__(self):
        self.steps = []

    def on_log(self, args, state, control, logs=None, **_):
        if "grad_norm" in logs:
            self.steps.append({"grad_norm": float(logs["grad_norm"]), "learning_rate": logs["learning_rate"]})


def run(models, name, case):
    o = {**DEFAULTS, **case}
    draw = random.Random(name)
    rows = make_rows(draw, case["rows"], o["TrainGroupSize"] - 1, o["Distill"])
    folder = f"{models}/{case['model']}"
    config = AutoConfig.from_pretrained(folder)
    for key, value in config.to_dict().items():
        if "dropout" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    model = Pooled(AutoModel.from_pretrained(folder, config=config, attn_implementation="eager", dtype=torch.float32), o["SentencePoolingMethod"])
    if o["FineTuneType"] == "bitfit":
        for key, p in model.named_parameters():
            p.requires_grad_("bias" in key)
    record = Record()
    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out, per_device_train_batch_size=o["PerDeviceTrainBatchSize"], gradient_accumulation_steps=o["GradientAccumulationSteps"],
            num_train_epochs=o["NumTrainEpochs"], max_steps=o["MaxSteps"] or -1, learning_rate=o["LearningRate"], weight_decay=o["WeightDecay"],
            max_grad_norm=o["MaxGradNorm"], adam_beta1=o["AdamBeta1"], adam_beta2=o["AdamBeta2"], adam_epsilon=o["AdamEpsilon"], optim="adamw_torch",
            lr_scheduler_type=o["LRSchedulerType"].replace("constant", "constant_with_warmup"), warmup_steps=o["WarmupSteps"] or o["WarmupRatio"],
            dataloader_drop_last=o["DataloaderDropLast"], train_sampling_strategy="sequential", logging_steps=1, save_strategy="no", report_to=[],
            use_cpu=True, remove_unused_columns=False, disable_tqdm=True, dataloader_pin_memory=False)
        trainer = Contrastive(model=model, args=arguments, train_dataset=rows, data_collator=lambda batch: {"rows": batch}, callbacks=[record])
        trainer.options, trainer.losses, trainer.tokenizer = o, {}, AutoTokenizer.from_pretrained(folder)
        trainer.train()
    for step, parts in zip(record.steps, (v for _, v in sorted(trainer.losses.items()))):
        step["loss"] = sum(parts) / len(parts)
    options = {k: v for k, v in o.items() if k not in ("model", "rows", "file")}
    return {"name": name, "model": case["model"], "file": case.get("file", "rows.jsonl"), "options": options, "rows": rows, "steps": record.steps}


torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
with open(sys.argv[2], "w") as f:
    json.dump([run(sys.argv[1], name, case) for name, case in CASES.items()], f, indent=1)
    f.write("\n")
