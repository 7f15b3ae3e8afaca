"""Writes the .bin files of this folder as torch.save would, without torch:
classes of torch's module names are pickled, storages become persistent ids.
Expected values come from numpy. See README.md for the versions used."""
import collections
import io
import json
import pickle
import struct
import sys
import types
import zipfile

import ml_dtypes
import numpy as np
from numpy.lib.stride_tricks import as_strided

for name in ("torch", "torch._utils", "torch.storage"):
    sys.modules[name] = types.ModuleType(name)


def fake(module, name, kind="class"):
    """A class or function that pickles as module.name."""
    made = type(name, (), {"__module__": module}) if kind == "class" else (lambda *a: None)
    made.__module__, made.__name__, made.__qualname__ = module, name, name
    setattr(sys.modules[module], name, made)
    return made


STORAGE = {
    np.dtype(np.float32): fake("torch", "FloatStorage"),
    np.dtype(np.float16): fake("torch", "HalfStorage"),
    np.dtype(ml_dtypes.bfloat16): fake("torch", "BFloat16Storage"),
    np.dtype(np.int64): fake("torch", "LongStorage"),
}
UNTYPED = fake("torch.storage", "UntypedStorage")
REBUILD = fake("torch._utils", "_rebuild_tensor_v2", "function")
REBUILD_V3 = fake("torch._utils", "_rebuild_tensor_v3", "function")
PARAMETER = fake("torch._utils", "_rebuild_parameter", "function")
FLOAT8 = fake("torch", "float8_e4m3fn", "function")


class Storage:
    def __init__(self, array, cls=None):
        self.array = array
        self.cls = cls or STORAGE[array.dtype]


class Call:
    """Pickles as function(*args)."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def tensor(storage, shape, stride, offset=0, view=None):
    t = Call(REBUILD, storage, offset, shape, stride, False, collections.OrderedDict())
    a = storage.array
    t.expected = as_strided(a[offset:], shape, [s * a.itemsize for s in stride]).tobytes().hex()
    return t


class Pickler(pickle.Pickler):
    def __init__(self, file, protocol, legacy):
        super().__init__(file, protocol)
        self.legacy, self.storages = legacy, []

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        if obj not in self.storages:
            self.storages.append(obj)
        key = str(self.storages.index(obj))
        return ("storage", obj.cls, key, "cpu", len(obj.array)) + ((None,) if self.legacy else ())


def dump(obj, protocol=2, legacy=False):
    out = io.BytesIO()
    pickler = Pickler(out, protocol, legacy)
    pickler.dump(obj)
    return out.getvalue(), pickler.storages


def save_zip(path, obj, protocol=2, compression=zipfile.ZIP_STORED):
    text, storages = dump(obj, protocol)
    with zipfile.ZipFile(path, "w", compression) as z:
        z.writestr("archive/data.pkl", text)
        z.writestr("archive/byteorder", "little")
        for key, s in enumerate(storages):
            z.writestr(f"archive/data/{key}", s.array.tobytes())
        z.writestr("archive/version", "3\n")


def save_legacy(path, obj):
    text, storages = dump(obj, legacy=True)
    with open(path, "wb") as f:
        pickle.dump(0x1950A86A20F9469CFC6C, f, 2)
        pickle.dump(1001, f, 2)
        pickle.dump({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}, f, 2)
        f.write(text)
        pickle.dump([str(i) for i in range(len(storages))], f, 2)
        for s in storages:
            f.write(struct.pack("<q", len(s.array)) + s.array.tobytes())


rng = np.random.default_rng(9)
weight = Storage(rng.standard_normal(24).astype(np.float32))
state = collections.OrderedDict({
    "whole": tensor(weight, (4, 6), (6, 1)),
    "tied": tensor(weight, (4, 6), (6, 1)),
    "row": tensor(weight, (6,), (1,), 12),
    "transposed": tensor(weight, (6, 4), (1, 6)),
    "column": tensor(weight, (4, 1), (6, 1), 2),
    "cube": tensor(weight, (2, 3, 4), (3, 1, 6)),
    "scalar": tensor(weight, (), (), 23),
    "empty": tensor(weight, (0, 3), (3, 1)),
    "expanded": tensor(weight, (3, 2), (0, 1), 5),
    "half": tensor(Storage(rng.standard_normal(5).astype(np.float16)), (5,), (1,)),
    "brain": tensor(Storage(rng.standard_normal(6).astype(ml_dtypes.bfloat16)), (3, 2), (1, 3)),
    "position_ids": tensor(Storage(np.arange(8)), (1, 8), (8, 1)),
})
parameter = Call(PARAMETER, state["whole"], True, collections.OrderedDict())
parameter.expected = state["whole"].expected
state["parameter"] = parameter

save_zip("state.bin", state)
save_zip("state_protocol4.bin", dict(state), protocol=4)
save_zip("state_deflated.bin", state, compression=zipfile.ZIP_DEFLATED)
save_legacy("state_legacy.bin", state)
with open("expected.json", "w") as f:
    json.dump({name: t.expected for name, t in state.items()}, f, indent=1)

codes = Storage(np.arange(6, dtype=np.uint8), UNTYPED)
save_zip("float8.bin", {"epoch": 3, "state_dict": {
    "codes": Call(REBUILD_V3, codes, 0, (2, 3), (3, 1), False, collections.OrderedDict(), FLOAT8)}})

save_zip("sharded/pytorch_model-00001-of-00002.bin", {"a": state["row"]})
save_zip("sharded/pytorch_model-00002-of-00002.bin", {"b": state["half"]})
with open("sharded/pytorch_model.bin.index.json", "w") as f:
    json.dump({"metadata": {}, "weight_map": {
        "a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}}, f)

import os
hostile = {"weight": state["whole"], "x": Call(os.system, "touch pickle-code-ran")}
save_zip("hostile.bin", hostile)
save_zip("hostile_protocol4.bin", hostile, protocol=4)
save_legacy("hostile_legacy.bin", hostile)
