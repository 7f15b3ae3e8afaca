"""An artifact of a lock file: its downloads, how it is unpacked, and the proof that it is complete."""
import contextlib
import fnmatch
import hashlib
import json
import os
import posixpath
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path


class SetupError(Exception):
    """An error for people: the step, the name, the cause."""


class Download:
    """One file of a lock line: source, coordinate, SHA-256, bytes."""

    def __init__(self, line):
        self.source, self.coordinate, self.sha256, size = line.split()
        self.size = int(size)

    def path(self, downloads):
        name = self.coordinate.replace("==", "-").replace(":", "-").replace("/", "-")
        return downloads / f"{name}-{self.sha256[:12]}"

    def check(self, path):
        """Compare the file with the lock; an error names both."""
        digest = hashlib.sha256()
        with open(path, "rb") as f:
            for block in iter(lambda: f.read(1 << 20), b""):
                digest.update(block)
        if digest.hexdigest() != self.sha256:
            raise SetupError(f'check "{path}": SHA-256 is {digest.hexdigest()}, the lock says {self.sha256} '
                             f"for {self.coordinate}: remove the file and run again")


class Artifact:
    """One section of a lock file."""

    def __init__(self, name, entry):
        self.name, self.entry = name, entry
        self.downloads = [Download(line) for line in entry.get("download", "").strip().splitlines()]
        self.rules = [tuple(part.strip() for part in line.split("->")) for line in entry.get("unpack", "").strip().splitlines()]
        self.size = sum(d.size for d in self.downloads)

    def is_done(self, target):
        """Whether the stamp is of this very entry and every file it lists is there at its size."""
        try:
            stamp = json.loads((target / ".done" / self.name).read_text())
            return stamp["entry"] == self.entry and all(
                os.stat(target / path).st_size == size for path, size in stamp["files"].items())
        except (OSError, ValueError, KeyError):
            return False

    def finish(self, target, staged):
        """Move the staged files into place and write the stamp; returns their size in bytes."""
        files = {p.relative_to(staged).as_posix(): p.stat().st_size for p in sorted(staged.rglob("*")) if p.is_file()}
        for path in files:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged / path, target / path)
        self.stamp(target, files)
        return sum(files.values())

    def stamp(self, target, files):
        """Note what the artifact was made from and its files with their sizes."""
        note = json.dumps({"entry": self.entry, "files": files})
        replace_file(target / ".done" / self.name, note.encode())

    def unpack(self, downloads, target):
        """Copy the members that the rules name out of the downloaded archives; returns their size in bytes."""
        with temporary_folder(target) as staged:
            zips = [d.path(downloads) for d in self.downloads]
            if "join" in self.entry:
                zips = [joined(zips, self.entry["join"], staged.with_name(staged.name + ".zip"))]
            unmatched = set(self.rules)
            for path in zips:
                with members(path) as archive:
                    unmatched -= self.extract(archive, staged)
            if "join" in self.entry:
                zips[0].unlink()
            if unmatched:
                raise SetupError(f'unpack "{self.name}": nothing matches {", ".join(sorted(m for m, _ in unmatched))}')
            return self.finish(target, staged)

    def extract(self, archive, staged):
        """Write the members that match a rule below staged; returns the rules that matched."""
        matched = set()
        for name, opened in archive:
            for rule in self.rules:
                if not fnmatch.fnmatchcase(name, rule[0]):
                    continue
                matched.add(rule)
                path = staged / destination(name, *rule)
                if staged not in Path(os.path.normpath(path)).parents:
                    raise SetupError(f'unpack "{self.name}": member "{name}" leaves the folder')
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened() as source, open(path, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
        return matched


@contextlib.contextmanager
def members(path):
    """The files of a zip (wheels, jars) or of a gzipped tar (npm packages): pairs of a name and what opens it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield ((m.filename, lambda m=m: archive.open(m)) for m in archive.infolist() if not m.is_dir())
    else:
        with tarfile.open(path, "r:gz") as archive:
            yield ((m.name, lambda m=m: archive.extractfile(m)) for m in archive.getmembers() if m.isfile())


def destination(member, pattern, folder):
    """Where a member goes: the folder before the pattern's first wildcard is cut off; a folder without "/" is a file's name."""
    if not folder.endswith("/"):
        return folder
    return folder + posixpath.relpath(member, posixpath.dirname(pattern.split("*")[0]) or ".")


def joined(zips, pattern, path):
    """Put the parts of one zip, a part in each of zips, together again."""
    with open(path, "wb") as sink:
        for part in zips:
            with zipfile.ZipFile(part) as archive:
                for name in fnmatch.filter(archive.namelist(), pattern):
                    with archive.open(name) as source:
                        shutil.copyfileobj(source, sink, 1 << 20)
    return path


def replace_file(path, content, mode=0o644):
    """Write a file whole or not at all; one that already says so stays untouched."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    temporary.write_bytes(content)
    temporary.chmod(mode)
    temporary.replace(path)


@contextlib.contextmanager
def temporary_folder(parent):
    """A folder that setup.py removes where this process cannot."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

