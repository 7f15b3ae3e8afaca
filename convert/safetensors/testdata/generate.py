"""Writes the files of this folder; see README.md for the versions used."""
import json

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

rng = np.random.default_rng(7)


def raw(dtype, *shape):
    dtype = np.dtype(dtype)
    n = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return np.frombuffer(rng.bytes(n), dtype=np.uint8).view(dtype).reshape(shape)


save_file({
    "encoder.weight": raw(np.float32, 2, 3),
    "encoder.half": raw(np.float16, 5),
    "encoder.brain": raw(ml_dtypes.bfloat16, 3, 1),
    "wide": raw(np.float64, 1),
    "position_ids": raw(np.int64, 1, 4),
    "mask": rng.integers(0, 2, 3).astype(bool),
    "codes": raw(np.int8, 7),
    "fp8": raw(ml_dtypes.float8_e4m3fn, 4),
    "scalar": raw(np.int32),
    "empty": np.zeros((0, 3), np.uint8),
    "schicht/größe <&>": raw(np.uint16, 2),
}, "mixed.safetensors", {"format": "pt"})

a, b = (rng.standard_normal((3, 4)).astype(np.float32) for _ in range(2))
save_file({"a": a, "stale": b}, "sharded/model-00001-of-00002.safetensors", {"format": "pt"})
save_file({"b": b}, "sharded/model-00002-of-00002.safetensors", {"format": "pt"})
with open("sharded/model.safetensors.index.json", "w") as f:
    json.dump({"metadata": {"total_size": 96}, "weight_map": {
        "a": "model-00001-of-00002.safetensors",
        "b": "model-00002-of-00002.safetensors"}}, f)

# Random bit patterns, half of them in float16's range of exponents, and the
# exact halfway points between neighbouring float16 and bfloat16 values.
bits = rng.integers(0, 1 << 32, 1000, dtype=np.uint64).astype(np.uint32)
near = rng.integers(100 << 23, 144 << 23, 1000, dtype=np.uint64).astype(np.uint32)
halves = np.arange(0, 0x7C00, 37, dtype=np.uint16).view(np.float16).astype(np.float64)
nexts = np.arange(1, 0x7C01, 37, dtype=np.uint16).view(np.float16).astype(np.float64)[:len(halves)]
ties16 = ((halves + nexts) / 2).astype(np.float32).view(np.uint32)
tiesb = (rng.integers(0, 0x7F80, 300).astype(np.uint32) << 16) | 0x8000
bits = np.concatenate([bits, near, ties16, tiesb])
f32 = bits.view(np.float32)
f32 = f32[np.isfinite(f32)]
f32 = np.concatenate([f32, [0.0, -0.0, np.inf, -np.inf, 65504, 65519.996, 65520, 3.4028235e38]]).astype(np.float32)
with np.errstate(over="ignore"):
    f16 = f32.astype(np.float16)
    bf16 = f32.astype(ml_dtypes.bfloat16)
save_file({"float32": f32, "float16": f16, "bfloat16": bf16}, "rounding.safetensors")
