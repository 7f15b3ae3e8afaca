"""What of a gain lies with queries whose documents were trained on: a task's score in two groups.

    groups.py BEIR_DIR ROWS.jsonl.gz METRIC PER_QUERY.tsv...

The first group are the queries with a relevant document among the rows' "pos"; the .tsv are `graft eval`'s (runs/**/TASK.per_query.tsv).
"""
import gzip
import json
import sys


def lines(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as f:
        yield from f


def main():
    folder, rows, metric = sys.argv[1:4]
    plain = lambda text: " ".join(text.split())
    trained = {plain(p) for line in lines(rows) for p in json.loads(line)["pos"]}
    texts = {d["_id"]: plain(d.get("title", "") + " " + d["text"]) for d in map(json.loads, lines(folder + "/corpus.jsonl.gz"))}
    judged = [line.rstrip("\n").split("\t") for line in lines(folder + "/qrels/test.tsv")][1:]
    shared = {q for q, d, grade in judged if int(grade) > 0 and texts[d] in trained}
    for path in sys.argv[4:]:
        table = [line.rstrip("\n").split("\t") for line in lines(path)]
        column = table[0].index(metric)
        groups = {True: [], False: []}
        for row in table[1:]:
            groups[row[0] in shared].append(float(row[column]))
        both = groups[True] + groups[False]
        print(f"{sum(both) / len(both):.4f} of {len(both)};", *(
            f"{name} {sum(g) / max(1, len(g)):.4f} of {len(g)}" for name, g in (("trained on", groups[True]), ("others", groups[False]))), path)


if __name__ == "__main__":
    main()
