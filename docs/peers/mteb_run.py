"""A whole mteb evaluation on local BEIR folders with sentence-transformers, as its users
run it: the peer of `graft eval`. Prints the scores, the time from start to finish and peak memory.

    mteb_run.py MODEL [--bf16] NAME=DIR …

With --bf16 weights and activations are bfloat16, which says what that type costs in PyTorch.
"""
import time

START = time.perf_counter()
import gzip  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import mteb  # noqa: E402
from datasets import Dataset  # noqa: E402
from mteb.abstasks.retrieval import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402
from mteb.models import SentenceTransformerEncoderWrapper  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402


def lines(path):
    with gzip.open(path + ".gz", "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def local_task(name, folder):
    class Local(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name=name, description="a local BEIR folder", dataset={"path": "local/local", "revision": "1"},
            type="Retrieval", category="t2t", modalities=["text"], eval_splits=["test"], eval_langs=["eng-Latn"],
            main_score="ndcg_at_10", reference=None, date=None, domains=None, task_subtypes=None, license=None,
            annotations_creators=None, dialect=None, sample_creation=None, bibtex_citation=None)

        def load_data(self, **_):
            if self.data_loaded:
                return
            judged = {}
            with open(folder + "/qrels/test.tsv", encoding="utf-8") as f:
                next(f)
                for line in f:
                    query, document, score = line.rstrip("\n").split("\t")
                    judged.setdefault(query, {})[document] = int(score)
            corpus = [{"id": r["_id"], "title": r.get("title") or "", "text": r["text"]} for r in lines(folder + "/corpus.jsonl")]
            queries = [{"id": r["_id"], "text": r["text"]} for r in lines(folder + "/queries.jsonl") if r["_id"] in judged]
            self.dataset = {"default": {"test": {
                "corpus": Dataset.from_list(corpus), "queries": Dataset.from_list(queries),
                "relevant_docs": judged, "top_ranked": None}}}
            self.data_loaded = True

    return Local()


def main():
    arguments = [a for a in sys.argv[1:] if a != "--bf16"]
    dtype = {"dtype": "bfloat16"} if "--bf16" in sys.argv else {}
    model = SentenceTransformerEncoderWrapper(SentenceTransformer(arguments[0], device="cpu", model_kwargs=dtype))
    for argument in arguments[1:]:
        name, _, folder = argument.partition("=")
        result = mteb.evaluate(model, [local_task(name, folder)], cache=None, overwrite_strategy="always",
                               encode_kwargs={"batch_size": 32, "show_progress_bar": False})
        scores = list(result.task_results)[0].scores["test"][0]
        print(name, {k: scores[k] for k in ("ndcg_at_10", "recall_at_100")}, flush=True)
    print(f"seconds {time.perf_counter() - START:.1f}  peak MB {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")


main()
