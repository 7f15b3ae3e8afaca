"""Makes rows.json and length_grouped.json; README.md says what they are.

    python generate.py DATA     (DATA holds flagembedding-examples and train-triplets)
"""
import gzip, hashlib, json, pathlib, random, struct, sys

import torch
import transformers
from transformers.trainer_pt_utils import get_length_grouped_indices

HERE = pathlib.Path(__file__).parent


def row_digest(row):
    """SHA-256 of a row's values: each text and list preceded by its length, scores as hex of little-endian doubles."""
    h = hashlib.sha256()
    text = lambda s: h.update(f"{len(s.encode())}:".encode() + s.encode())
    texts = lambda l: (h.update(f"{len(l)};".encode()), [text(s) for s in l])
    text(row["query"])
    texts(row["pos"])
    texts(row["neg"])
    texts([struct.pack("<d", s).hex() for s in row.get("pos_scores", [])])
    texts([struct.pack("<d", s).hex() for s in row.get("neg_scores", [])])
    text(row.get("prompt", "<none>"))
    text(row.get("type", ""))
    return h.hexdigest()


def rows(data):
    files = {}
    for path in sorted(data.glob("flagembedding-examples/*.jsonl*")) + sorted(data.glob("train-triplets/*.jsonl.gz")):
        opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
        with opened as f:
            digests = [row_digest(json.loads(line)) for line in f if line.strip()]
        all_rows = hashlib.sha256("".join(digests).encode()).hexdigest()
        files[str(path.relative_to(data))] = {"rows": len(digests), "first": digests[0], "last": digests[-1], "all": all_rows}
    return files


def length_grouped():
    cases = []
    for seed, n, batch in [(1, 7, 8), (2, 64, 8), (3, 257, 4), (4, 1000, 3), (5, 1, 1), (6, 100, 25)]:
        lengths = random.Random(seed).sample(range(1, 20 * n + 20), n)  # all different: the order of equal ones is not told
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
        grouped = get_length_grouped_indices(lengths, batch, generator=torch.Generator().manual_seed(seed))
        cases.append({"batch": batch, "lengths": lengths, "order": order, "grouped": grouped})
    return {"transformers": transformers.__version__, "torch": torch.__version__, "cases": cases}


(HERE / "rows.json").write_text(json.dumps(rows(pathlib.Path(sys.argv[1])), indent=1) + "\n")
(HERE / "length_grouped.json").write_text(json.dumps(length_grouped()) + "\n")
