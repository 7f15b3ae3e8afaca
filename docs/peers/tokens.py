"""The peer of `go test -bench Batch ./runtime/tokenizer`: Hugging Face's own batch encoder on the same texts.

    tokens.py TOKENIZER.JSON CORPUS.JSONL.GZ [MAX_LENGTH]

Prints the tokens a second of seven passes: lowest, median, highest.
"""
import gzip
import json
import statistics
import sys
import time

from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_padding()
tokenizer.enable_truncation(int(sys.argv[3]) if len(sys.argv) > 3 else 256)
with gzip.open(sys.argv[2], "rt", encoding="utf-8") as f:
    texts = [(row["title"] + " " + row["text"]).strip() for row in map(json.loads, f)]
rates = []
for _ in range(7):
    start = time.perf_counter()
    tokens = sum(len(e.ids) for e in tokenizer.encode_batch_fast(texts))
    rates.append(tokens / (time.perf_counter() - start))
print(f"{min(rates):.0f} {statistics.median(rates):.0f} {max(rates):.0f} tokens/s")
