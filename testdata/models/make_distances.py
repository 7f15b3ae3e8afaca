"""Which row of its table of distances DeBERTa takes: make_distances.py OUT writes OUT/deberta_distances.json.

For each position_buckets and max_relative_positions: the rows for query - key from -n to n, as the library's c2p_pos has them.
"""
import json, sys
import torch
from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

CASES = []
for buckets, distance in [(256, 512), (256, 1024), (320, 512), (32, 128), (8, 10), (2, 6), (-1, 16)]:
    n = distance + 20
    places = torch.zeros(n + 1, 1)
    bucket = build_relative_position(places, places, bucket_size=buckets, max_position=distance)[0]
    span = buckets if buckets > 0 else distance
    rows = torch.clamp(bucket + span, 0, 2 * span - 1)
    behind = torch.cat([rows[0].flip(0)[:-1], rows[:, 0]])  # query 0 and keys n to 1, then queries 0 to n and key 0
    CASES.append({"buckets": buckets, "distance": distance, "rows": behind.tolist()})

with open(f"{sys.argv[1]}/deberta_distances.json", "w") as f:
    f.write("[\n" + ",\n".join(map(json.dumps, CASES)) + "\n]\n")
