"""Writes backend.tsv: what onnx's own shape inference finds for its backend tests.

Usage: python generate.py > backend.tsv   (with the PyPI package onnx 1.20.1)
"""
import os

import onnx
from onnx import TensorProto, shape_inference

root = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "node")


def describe(t):
    if t.WhichOneof("value") != "tensor_type":
        return "?", "?"
    t = t.tensor_type
    shape = "?"
    if t.HasField("shape"):
        shape = "[" + " ".join(str(d.dim_value) if d.HasField("dim_value") else "?" for d in t.shape.dim) + "]"
    return TensorProto.DataType.Name(t.elem_type), shape


for name in sorted(os.listdir(root)):
    m = onnx.load(os.path.join(root, name, "model.onnx"))
    stated = [describe(o.type) for o in m.graph.output]
    for o in m.graph.output:
        o.ClearField("type")
    del m.graph.value_info[:]
    try:
        m = shape_inference.infer_shapes(m, data_prop=True)
    except Exception as e:  # a few models are beyond it
        continue
    for o, want in zip(m.graph.output, stated):
        print(name, o.name, *describe(o.type), *want, sep="\t")
