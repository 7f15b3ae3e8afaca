#!/usr/bin/env python3
"""Write native/lock/python-*.txt anew: what pip chooses today, with hashes, for the two environments of the interop tests.

Run it with the Python that the environments are for (python_environments.VERSION), on Linux x86-64.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).resolve().parent / "lock"
SHARED = "torch==2.11.0"
ASKED = {
    # The libraries that exported directories, results and metrics are held against.
    "sentence-transformers": "sentence-transformers==6.2.0 transformers==5.23.0 peft==0.21.2 mteb==2.26.24 onnx==1.20.1 onnxruntime==1.30.0 pytrec_eval-terrier==0.5.11 tensorboard==2.21.0",
    # optimum needs an older transformers.
    "optimum": "optimum-onnx==0.1.0 transformers==4.57.* sentence-transformers==5.2.3 onnx==1.20.1 onnxruntime==1.30.0",
}


def resolve(asked):
    """What pip would install for the requirements: name -> (version, SHA-256)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary=:all:",
                        "--report", report, SHARED, *asked.split()], check=True)
        chosen = json.loads(report.read_text())["install"]
    return {item["metadata"]["name"].lower().replace("_", "-").replace(".", "-"):
            (item["metadata"]["version"], item["download_info"]["archive_info"]["hashes"]["sha256"]) for item in chosen}


def is_shared(name):
    return name in ("torch", "triton") or name.startswith(("nvidia-", "cuda-"))


def write(name, asked, packages):
    lines = [f"{package}=={version} --hash=sha256:{digest}" for package, (version, digest) in sorted(packages.items())]
    head = f"# Frozen by native/freeze.py for CPython {sys.version_info.major}.{sys.version_info.minor} on Linux x86-64 out of: {asked}"
    (LOCK / f"python-{name}.txt").write_text("\n".join([head, *lines]) + "\n")


def main():
    shared = {}
    for name, asked in ASKED.items():
        packages = resolve(asked)
        shared.update({p: v for p, v in packages.items() if is_shared(p)})
        write(name, asked, {p: v for p, v in packages.items() if not is_shared(p)})
    write("torch", SHARED, shared)


if __name__ == "__main__":
    main()
