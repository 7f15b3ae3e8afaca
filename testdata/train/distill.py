"""Records what the distillation losses and their gradients are in sentence-transformers and PyTorch."""
import json, torch
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss
torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
B, G, D, T = 4, 2, 6, 0.05
def leaf(n, d): return torch.randn(n, d).float().double().requires_grad_()
out = {"temperature": T, "group": G}
def record(name, value, q, p, tq, tp, same=None):
    value.backward()
    out[name] = {"loss": value.item(), "queries": q.tolist(), "passages": p.tolist(), "teacher_queries": tq.tolist(),
                 "teacher_passages": tp.tolist(), "queries_grad": q.grad.tolist(), "passages_grad": p.grad.tolist(), "same": same}

class Loss(EmbedDistillLoss):
    def __init__(self): torch.nn.Module.__init__(self); self.distance_metric, self.projection = "cosine", None
q, p, tq, tp = leaf(B, D), leaf(B * G, D), leaf(B, D).detach(), leaf(B * G, D).detach()
columns = lambda q, p: [q] + [p.view(B, G, D)[:, i] for i in range(G)]
record("embedding", Loss().compute_loss_from_embeddings(columns(q, p), columns(tq, tp)), q, p, tq, tp)

def score(q, p, tq, tp, same):
    unit = torch.nn.functional.normalize
    student, teacher = unit(q) @ unit(p).T / T, unit(tq) @ unit(tp).T / T
    mask = torch.zeros_like(student, dtype=torch.bool)
    for i, js in enumerate(same or []):
        mask[i, js or []] = True
    rows = []
    for s, t, m in zip(student, teacher, mask):
        rows.append(torch.nn.functional.kl_div(s[~m].log_softmax(0), t[~m].log_softmax(0), log_target=True, reduction="sum"))
    return torch.stack(rows).mean()
q, p, tq, tp = leaf(B, D), leaf(B * G, D), leaf(B, 9).detach(), leaf(B * G, 9).detach()
record("score", score(q, p, tq, tp, None), q, p, tq, tp)
same = [[0], [2, 5], [4], [6]]
q, p, tq, tp = leaf(B, D), leaf(B * G, D), leaf(B, 9).detach(), leaf(B * G, 9).detach()
record("score of texts", score(q, p, tq, tp, same), q, p, tq, tp, same)
json.dump(out, open("distill.json", "w"))
