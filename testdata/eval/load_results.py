"""Loads a results folder with mteb and scores a TREC run with pytrec_eval; prints one JSON object.

load_results.py OUT RUN QRELS: OUT holds results/<model>/<revision>/*.json; RUN and QRELS are tab separated.
"""
import json
import math
import sys
from pathlib import Path

import mteb
import pytrec_eval
from mteb.models.model_meta import ModelMeta
from mteb.results import TaskResult

out, run_file, qrels_file = sys.argv[1:]

run, qrels = {}, {}
for line in open(run_file, encoding="utf-8"):
    query, _, document, _, score, _ = line.rstrip("\n").split("\t")
    run.setdefault(query, {})[document] = float(score)
for line in list(open(qrels_file, encoding="utf-8"))[1:]:
    query, document, grade = line.rstrip("\n").split("\t")
    qrels.setdefault(query, {})[document] = int(grade)
cutoffs = "1,3,5,10,20,100,1000"
evaluator = pytrec_eval.RelevanceEvaluator(qrels, {f"{m}.{cutoffs}" for m in ("ndcg_cut", "map_cut", "recall", "P", "success")})

loaded = mteb.ResultCache(out).load_results(load_experiments="match_name")
files = {}
for path in sorted(Path(out).glob("results/**/*.json")):
    if path.name == "model_meta.json":
        meta = json.loads(path.read_text())
        ModelMeta(**(meta | {"loader": None}))
    else:
        files[path.stem] = TaskResult.from_disk(path)

finite = lambda x: None if isinstance(x, float) and math.isnan(x) else x
print(json.dumps({
    "models": sorted(m.model_name for m in loaded),
    "loaded": sorted(r.task_name for m in loaded for r in m.task_results),
    "scores": {name: {k: finite(v) for k, v in next(iter(r.scores.values()))[0].items()} for name, r in files.items()},
    "pytrec": evaluator.evaluate(run),
}))
