"""Writes schemas.tsv: how many inputs and outputs each operator of ai.onnx takes, and its attributes' kinds.

Usage: python schemas.py > schemas.tsv   (with the PyPI package onnx 1.20.1)
"""
from onnx import defs

UNBOUNDED = 2**31 - 1
rows = set()
for s in defs.get_all_schemas_with_history():
    if s.domain == "":
        most = lambda n: -1 if n == UNBOUNDED else n
        attrs = ",".join(f"{n}:{str(a.type).split('.')[-1]}" for n, a in sorted(s.attributes.items()))
        rows.add((s.name, s.since_version, s.min_input, most(s.max_input), s.min_output, most(s.max_output), attrs))
for r in sorted(rows):
    print(*r, sep="\t")
