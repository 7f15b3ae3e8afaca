"""How far random errors of vectors move nDCG@10: what a score says of a change that costs so much cosine.

    noise.py QUERIES.npy DOCUMENTS.npy BEIR_DIR [DRAWS]

The vectors are `graft embed`'s of the judged queries and of all documents (title and text), in the order of the files.
Gaussian noise is added to both, as much as makes 1 - mean cosine what each row says; nDCG@10 less that without noise.
"""
import gzip
import json
import sys

import numpy as np


def ids(path):
    with gzip.open(path, "rt", encoding="utf-8") as f:
        return [json.loads(line)["_id"] for line in f]


def judgments(folder):
    judged = {}
    with open(folder + "/qrels/test.tsv", encoding="utf-8") as f:
        next(f)
        for line in f:
            query, document, score = line.rstrip("\n").split("\t")
            judged.setdefault(query, {})[document] = max(0, int(score))
    return judged


def main():
    queries, documents, folder = np.load(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3]
    draws = int(sys.argv[4]) if len(sys.argv) > 4 else 40
    judged = judgments(folder)
    place = {d: i for i, d in enumerate(ids(folder + "/corpus.jsonl.gz"))}
    order = [q for q in ids(folder + "/queries.jsonl.gz") if q in judged]
    grades = np.zeros((len(order), len(place)), np.float32)
    discount = 1 / np.log2(np.arange(2, 12))
    ideal = np.zeros(len(order))
    for i, q in enumerate(order):
        best = sorted(judged[q].values(), reverse=True)[:10]
        ideal[i] = np.dot(best, discount[: len(best)])
        for d, grade in judged[q].items():
            if d in place:
                grades[i, place[d]] = grade

    def ndcg(q, d):
        scores = q @ d.T
        top = np.argpartition(-scores, 10, axis=1)[:, :10]
        ranked = np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable"), 1)
        return float(np.mean(np.take_along_axis(grades, ranked, 1) @ discount / ideal))

    rng = np.random.default_rng(0)

    def noisy(x, lost):
        y = x + rng.standard_normal(x.shape).astype(np.float32) * np.sqrt(2 * lost / x.shape[1])
        return y / np.linalg.norm(y, axis=1, keepdims=True)

    exact = ndcg(queries, documents)
    print(f"nDCG@10 {exact:.5f}")
    for lost in (1e-5, 4e-5, 2e-4):
        moved = np.array([ndcg(noisy(queries, lost), noisy(documents, lost)) - exact for _ in range(draws)])
        print(f"1 - cosine {lost:.0e}: mean {moved.mean():+.5f}, standard deviation {moved.std():.5f}, "
              f"{np.mean(abs(moved) > 0.0005):.0%} further than 0.0005")


main()
