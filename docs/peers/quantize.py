"""Makes the int8 files that graft's are compared with, as onnxruntime.quantization makes them.

    quantize.py dynamic MODEL OUT.onnx
    quantize.py static  MODEL OUT.onnx TEXTS MAX_LENGTH [SAMPLES]

MODEL: a folder with tokenizer.json and, in float32 and plain operators, onnx/model.onnx.
dynamic: DynamicQuantizeLinear and MatMulInteger, weights int8 per channel. static: QDQ, activations uint8,
weights int8 per channel, ranges by min-max on the first SAMPLES (64) of TEXTS, .jsonl with a field "text".
Products between activations (attention's) stay in float32 in both.
"""
import json
import os
import shutil
import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from tokenizers import Tokenizer


class Texts(CalibrationDataReader):
    """One text at a time: no padding to calibrate on."""

    def __init__(self, path, file, max_length, samples):
        tokenizer = Tokenizer.from_file(path + "/tokenizer.json")
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        with open(file, encoding="utf-8") as f:
            texts = [json.loads(line)["text"] for line, _ in zip(f, range(samples))]
        self.rows = iter([np.array([e.ids], np.int64) for e in tokenizer.encode_batch(texts)])

    def get_next(self):
        ids = next(self.rows, None)
        if ids is None:
            return None
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return feed


def main():
    how, path, out = sys.argv[1:4]
    model = path + "/onnx/model.onnx"
    options = {"per_channel": True, "weight_type": QuantType.QInt8, "op_types_to_quantize": ["MatMul"],
               "extra_options": {"MatMulConstBOnly": True}}
    if how == "dynamic":
        quantize_dynamic(model, out, **options)
    else:
        texts = Texts(path, sys.argv[4], int(sys.argv[5]), int(sys.argv[6]) if len(sys.argv) > 6 else 64)
        quantize_static(model, out, texts, quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8, **options)
    beside = os.path.join(os.path.dirname(out) or ".", "tokenizer.json")
    if not os.path.exists(beside):
        shutil.copy(path + "/tokenizer.json", beside)


main()
