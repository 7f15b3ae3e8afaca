"""The Python environments of the interop tests: what exported directories and results are held against."""
import shutil
import sys

import fetch
from artifact import Artifact, SetupError, replace_file
from progress import report, stopwatch

VERSION = (3, 11)  # of the wheels whose hashes are locked
# PyTorch with its CUDA libraries is by far the largest part: one folder of packages serves both environments.
SHARED = "torch"
# What is downloaded, in bytes, to the nearest 10 MB: requirements files do not say it.
SIZES = {SHARED: 2_640_000_000, "sentence-transformers": 340_000_000, "optimum": 150_000_000}


def layers(lock, target):
    """One artifact per requirements file; its folder is part of it, because an environment cannot be moved."""
    made = []
    for name, size in SIZES.items():
        lines = (lock / f"python-{name}.txt").read_text().splitlines()
        packages = [line for line in lines if not line.startswith("#")]
        layer = Artifact(f"python-{name}", {"requirements": packages, "folder": str(target / "python" / name)})
        layer.size = size
        made.append(layer)
    return made


def install(layer, lock, target):
    """Install one layer where it stays; an unfinished folder is made again, the stamp comes last."""
    if sys.version_info[:2] != VERSION:
        wanted = ".".join(map(str, VERSION))
        raise SetupError(f"the interop tests need Python {wanted}, this is {sys.version.split()[0]}: run make with PYTHON=python{wanted}")
    requirements = lock / f"{layer.name}.txt"
    folder = target / "python" / layer.name.removeprefix("python-")
    report(f"install {requirements.name}")
    with stopwatch() as seconds:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.name == SHARED:
            pip_install(sys.executable, requirements, "--target", folder)
        else:
            fetch.call([sys.executable, "-m", "venv", folder])
            pip_install(folder / "bin" / "python", requirements)
            site = next(folder.glob("lib/python*/site-packages"))
            replace_file(site / f"{SHARED}.pth", f"{folder.parent / SHARED}\n".encode())
        layer.stamp(target, {})
    report(f"{layer.name}: installed in {seconds():.1f} s")


def pip_install(python, requirements, *options):
    fetch.call([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-deps", "--require-hashes",
                "--no-compile", "--only-binary=:all:", "--disable-pip-version-check", "--requirement", requirements, *options])
