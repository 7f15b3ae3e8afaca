"""Compares ONNX files with the files that graft wrote of them: python3 compare.py LIST

Each line of LIST is "original<TAB>written". Both are loaded by the onnx package, the
elements of all tensors are compared as arrays, the messages without elements as protobuf, and
the written file has to pass the checker with shape inference wherever the original does.
"""
import sys

import onnx
from onnx import numpy_helper

ELEMENTS = ["raw_data", "float_data", "int32_data", "string_data", "int64_data", "double_data",
            "uint64_data", "external_data", "data_location"]


def tensors(message):
    """All TensorProtos in message, in order."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in value if hasattr(value, "__len__") else [value]:
            yield from tensors(item)


def normalize(model):
    """Takes the elements out of model and returns them; absent default domains are made explicit."""
    elements = []
    for t in tensors(model):
        array = numpy_helper.to_array(t)
        elements.append((t.name, array.tolist() if array.dtype == object else array.tobytes()))
        for name in ELEMENTS:
            t.ClearField(name)
    for owner in [model, *model.functions]:
        for opset in owner.opset_import:
            opset.domain = opset.domain
            opset.version = opset.version
    return elements


def accepted(path):
    try:
        onnx.checker.check_model(path, full_check=True)
        return None
    except Exception as e:  # the checker raises several unrelated types
        return e


def compare(original, written):
    a, b = onnx.load(original), onnx.load(written)
    if normalize(a) != normalize(b):
        return "tensors differ"
    if a != b:
        return "messages differ"
    error = accepted(written)
    if error is not None and accepted(original) is None:
        return f"the checker refuses it: {error}"
    return None


def main():
    failed = 0
    lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
    for line in lines:
        original, written = line.split("\t")
        problem = compare(original, written)
        if problem:
            failed += 1
            print(f"{original}: {problem}")
    print(f"{len(lines)} files compared, {failed} differ")
    sys.exit(failed > 0)


main()
