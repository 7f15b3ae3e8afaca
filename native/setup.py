#!/usr/bin/env python3
"""Fetch and unpack the native libraries, models and Python environments that graft builds and tests with.

    setup.py [--print-dir] GROUP...

A group is a file of native/lock: runtime, train, test, golden, cuda; and "interop", the Python environments. Everything
lands in one folder of the cache, named by a hash of what a build depends on, so that a second checkout finds it made:

    GRAFT_CACHE (default: $XDG_CACHE_HOME/graft or ~/.cache/graft)
        current.env -> HASH/env     the environment file of the last set-up, for shells and editors
        downloads/                  files that are fetched, checked and not yet unpacked
        HASH/env                    CGO_*, CXX, GRAFT_NATIVE, GRAFT_MODELS
        HASH/.done/ARTIFACT         written last: what the artifact was made from and the files it has

Interrupted runs leave only temporary folders, which the next one removes; a lock on the cache keeps two runs apart.
"""
import argparse
import configparser
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ in the checkout

import fetch
import python_environments
from artifact import Artifact, SetupError, replace_file
from progress import megabytes, report, stopwatch

NATIVE = Path(__file__).resolve().parent
LOCK = NATIVE / "lock"
GROUPS = ("runtime", "train", "test", "golden", "cuda")
# What a compiled package depends on names the folder; the other groups only add files to it.
KEY_FILES = (LOCK / "runtime.ini", LOCK / "train.ini", NATIVE / "gotch_compat.h", NATIVE / "cxx")
# Libraries that gotch's link line names: empty archives, found first, keep the CUDA libraries out of the binary.
STUBS = "torch cuda cudart cublas cudnn caffe2_nvrtc nvrtc-builtins nvrtc nvToolsExt c10_cuda torch_cuda".split()


def cache_root():
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GRAFT_CACHE") or Path(base) / "graft").absolute()


def key():
    return hashlib.sha256(b"".join(f.read_bytes() for f in KEY_FILES)).hexdigest()[:12]


def read_group(name):
    """The artifacts of native/lock/NAME.ini, in the file's order."""
    lock = configparser.ConfigParser(interpolation=None)
    lock.read_string((LOCK / f"{name}.ini").read_text())
    return [Artifact(section, dict(lock[section])) for section in lock.sections()]


def make(artifact, root, target):
    """Fetch, build or unpack one artifact, whole or not at all."""
    if "module" in artifact.entry:
        fetch.build_tokenizers(artifact, NATIVE.parent, root, target)
        return
    if "requirements" in artifact.entry:
        python_environments.install(artifact, LOCK, target)
        return
    with stopwatch() as seconds:
        for download in artifact.downloads:
            fetch.download(download, root / "downloads")
    fetched = seconds()
    with stopwatch() as seconds:
        size = artifact.unpack(root / "downloads", target)
    report(f"{artifact.name}: fetched {megabytes(artifact.size)} in {fetched:.1f} s, "
           f"unpacked {megabytes(size)} in {seconds():.1f} s")


def check_prerequisites(missing, root):
    """Stop before the first download where a tool or disk space is missing; the script prints what and how to mend it."""
    tools = ["python3", "pip", "go", "g++", "cargo"]
    sources = {d.source for a in missing for d in a.downloads}
    tools += [tool for source, tool in (("maven", "mvn"), ("npm", "npm")) if source in sources]
    tools += ["venv"] * any("requirements" in a.entry for a in missing)
    gigabytes = 1 + sum(3 * a.size for a in missing) // 10**9  # a download and twice its size unpacked
    if subprocess.run([NATIVE / "prerequisites.sh", str(gigabytes), root, *tools]).returncode:
        raise SetupError("nothing was changed")


def make_all(missing, root, target):
    """Make what is missing: the Rust build, the longest step, beside the downloads."""
    built = [a for a in missing if "module" in a.entry]
    fetched = [a for a in missing if "module" not in a.entry]
    total = sum(a.size for a in fetched)
    report(f"making {', '.join(a.name for a in missing)} in {target} ({megabytes(total)} to download)")
    with ThreadPoolExecutor(1) as builder:
        builds = [builder.submit(make, a, root, target) for a in built]
        try:
            for a in fetched:
                make(a, root, target)
            for b in builds:
                b.result()
        except BaseException:
            fetch.stop_children()
            raise
    shutil.rmtree(root / "downloads", ignore_errors=True)  # those of interrupted runs too


def write_build_files(target):
    """The compiler wrapper, gotch's header, the stubs and the environment file: the same for every group."""
    for name in ("gotch_compat.h", "cxx"):
        replace_file(target / "cfg" / name, (NATIVE / name).read_bytes(), mode=0o755 if name == "cxx" else 0o644)
    for name in STUBS:
        replace_file(target / "stubs" / f"lib{name}.a", b"!<arch>\n")
    torch = target / "site" / "torch"
    values = {
        "CGO_ENABLED": "1",
        "CGO_CFLAGS": "-w",
        # Go's build cache does not look into a header included by force: the hash in a flag stands for it.
        "CGO_CXXFLAGS": f"-include {target}/cfg/gotch_compat.h -DCOMPAT_HASH={target.name} "
                        f"-I{torch}/include -I{torch}/include/torch/csrc/api/include -w",
        "CGO_LDFLAGS": f"-L{target}/stubs -L{torch}/lib -L{target}/lib -Wl,-rpath,{torch}/lib",
        "CXX": f"{target}/cfg/cxx",
        "GRAFT_NATIVE": f"{target}",
        "GRAFT_MODELS": f"{target}/models",
    }
    text = "".join(f'{k}="{v}"\n' for k, v in values.items())
    replace_file(target / "env", text.encode())


def point_to(root, target):
    """Let current.env name this set-up's environment file."""
    link = root / "current.env"
    wanted = os.path.join(target.name, "env")
    if not link.is_symlink() or os.readlink(link) != wanted:
        temporary = root / f".tmp-current.env-{os.getpid()}"
        temporary.symlink_to(wanted)
        temporary.replace(link)


def locked(root):
    """The cache's lock, held until the file is closed."""
    lock = open(root / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report("another set-up is at work on this cache: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def remove_leftovers(*folders):
    """Temporary files of runs that were killed; the lock is held, so nobody else's."""
    for leftover in (p for folder in folders for p in folder.glob(".tmp-*")):
        shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()


def run(groups):
    root = cache_root()
    if not re.fullmatch(r"[\w./+@~-]+", str(root)):  # it becomes part of compiler flags, shell and make lines
        raise SetupError(f'cache "{root}": the path may have letters, digits and ./+@~_- alone: GRAFT_CACHE=... names another')
    target = root / key()
    artifacts = [a for g in GROUPS if g in groups for a in read_group(g)]
    if "interop" in groups:
        artifacts += python_environments.layers(LOCK, target)
    root.mkdir(parents=True, exist_ok=True)
    if not all(a.is_done(target) for a in artifacts):
        with locked(root):
            started = time.monotonic()
            target.mkdir(exist_ok=True)
            remove_leftovers(root, root / "downloads", target)
            missing = [a for a in artifacts if not a.is_done(target)]
            if missing:  # still: another set-up may have been at work before this one got the lock
                check_prerequisites(missing, root)
                make_all(missing, root, target)
                report(f"done in {time.monotonic() - started:.0f} s")
    write_build_files(target)
    point_to(root, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print-dir", action="store_true", help="print the folder that set-up fills and stop")
    parser.add_argument("groups", nargs="*", metavar="GROUP")
    options = parser.parse_args()
    unknown = set(options.groups) - {*GROUPS, "interop"}
    if unknown:
        parser.error(f"unknown group {', '.join(sorted(unknown))}: there are {', '.join(GROUPS)}, interop")
    if options.print_dir:
        print(cache_root() / key())
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(options.groups)
    except (SetupError, OSError) as err:
        sys.exit(f"setup: {err}")
    except KeyboardInterrupt:
        sys.exit("setup: interrupted: run it again to go on")


if __name__ == "__main__":
    main()
