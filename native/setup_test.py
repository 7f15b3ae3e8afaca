#!/usr/bin/env python3
"""Tests of the set-up, without a network: what it refuses, what it repeats, what it leaves behind."""
import hashlib
import io
import re
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True

import fetch
import setup
from artifact import Artifact, SetupError


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class SetupTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.target, self.downloads = self.root / "target", self.root / "downloads"
        self.contents = {}  # coordinate -> bytes: what the package index serves
        self.served = []
        for patch in (mock.patch.dict(fetch.SOURCES, pypi=self.serve), mock.patch.object(fetch, "report")):
            patch.start()
            self.addCleanup(patch.stop)

    def serve(self, item, folder):
        self.served.append(item.coordinate)
        (folder / "file.whl").write_bytes(self.contents[item.coordinate])

    def artifact(self, unpack, *packages, **entry):
        """An artifact whose lock lines are true for packages, served as part-1==1, part-2==1, ..."""
        lines = []
        for i, content in enumerate(packages, 1):
            self.contents[f"part-{i}==1"] = content
            lines.append(f"pypi part-{i}==1 {hashlib.sha256(content).hexdigest()} {len(content)}")
        return Artifact("thing", {"download": "\n".join(lines), "unpack": "\n".join(unpack), **entry})

    def make(self, artifact):
        for d in artifact.downloads:
            fetch.download(d, self.downloads)
        artifact.unpack(self.downloads, self.target)

    def files(self):
        return {p.relative_to(self.target).as_posix(): p.read_text()
                for p in self.target.rglob("*") if p.is_file() and ".done" not in p.parts}

    def test_unpack(self):
        a = self.artifact(
            ["pkg/lib/x.so -> lib/", "pkg/include/* -> include/", "pkg/vocab.json -> models/tokenizer.json", "deep/*/lib/*.so* -> site/"],
            zipped({"pkg/lib/x.so": "x", "pkg/lib/y.so": "y", "pkg/include/a/b.h": "b", "pkg/vocab.json": "v"}),
            zipped({"deep/cu/lib/z.so.1": "z"}))
        self.assertFalse(a.is_done(self.target))
        self.make(a)
        self.assertTrue(a.is_done(self.target))
        self.assertEqual(self.files(), {"lib/x.so": "x", "include/a/b.h": "b", "models/tokenizer.json": "v", "site/cu/lib/z.so.1": "z"})

    def test_join(self):
        whole = zipped({"model/config.json": "{}"})
        a = self.artifact(["model/* -> models/m/"], zipped({"p1/input/m.zip.001": whole[:20]}), zipped({"p2/input/m.zip.002": whole[20:]}),
                          join="*/input/m.zip.*")
        self.make(a)
        self.assertEqual(self.files(), {"models/m/config.json": "{}"})

    def test_corrupt_download(self):
        a = self.artifact(["x -> lib/"], zipped({"x": "x"}))
        path = a.downloads[0].path(self.downloads)
        self.downloads.mkdir()
        path.write_bytes(b"half a file")
        with self.assertRaisesRegex(SetupError, f'check "{re.escape(str(path))}": SHA-256 is [0-9a-f]+, the lock says {a.downloads[0].sha256}'):
            self.make(a)
        self.assertFalse(a.is_done(self.target))

    def test_wrong_file_served(self):
        a = self.artifact(["x -> lib/"], zipped({"x": "x"}))
        self.contents["part-1==1"] = zipped({"x": "another"})
        with self.assertRaisesRegex(SetupError, "the lock says .* for part-1==1"):
            self.make(a)

    def test_checked_download_is_not_fetched_again(self):
        a = self.artifact(["x -> lib/"], zipped({"x": "x"}))
        fetch.download(a.downloads[0], self.downloads)
        self.make(a)
        self.assertEqual(self.served, ["part-1==1"])

    def test_lost_file_and_new_entry_are_made_again(self):
        a = self.artifact(["x -> lib/"], zipped({"x": "x"}))
        self.make(a)
        self.assertFalse(Artifact("thing", {**a.entry, "unpack": "x -> elsewhere/"}).is_done(self.target))
        (self.target / "lib" / "x").unlink()
        self.assertFalse(a.is_done(self.target))
        self.make(a)
        self.assertTrue(a.is_done(self.target))

    def test_unmatched_rule(self):
        a = self.artifact(["x -> lib/", "y* -> lib/"], zipped({"x": "x"}))
        with self.assertRaisesRegex(SetupError, r'unpack "thing": nothing matches y\*'):
            self.make(a)
        self.assertEqual(self.files(), {})
        self.assertEqual(list(self.target.glob(".tmp-*")), [])

    def test_member_outside_the_folder(self):
        a = self.artifact(["a/* -> lib/"], zipped({"a/../../../x": "x"}))
        with self.assertRaisesRegex(SetupError, 'member "a/../../../x" leaves the folder'):
            self.make(a)

    def test_environment_file(self):
        target = self.root / "0123"
        setup.write_build_files(target)
        shell = subprocess.run(["sh", "-c", 'set -a; . "$0"; env', target / "env"], capture_output=True, text=True, check=True)
        self.assertIn(f"\nGRAFT_NATIVE={target}\n", shell.stdout)
        self.assertIn("-DCOMPAT_HASH=0123 ", shell.stdout)

    def test_cache_path_that_flags_cannot_hold(self):
        with mock.patch.dict("os.environ", GRAFT_CACHE=str(self.root / "a cache")):
            with self.assertRaisesRegex(SetupError, 'cache "/.*/a cache": '):
                setup.run(["runtime"])
        self.assertEqual(list(self.root.iterdir()), [])

    def test_leftovers_of_a_killed_run(self):
        for name in (".tmp-abc", ".tmp-def"):
            (self.root / name).mkdir()
        (self.root / ".tmp-def" / "part").write_text("x")
        (self.root / "kept").write_text("x")
        setup.remove_leftovers(self.root)
        self.assertEqual([p.name for p in self.root.iterdir()], ["kept"])

    def test_copy_of_a_read_only_folder(self):
        source, copy = self.root / "source", self.root / "copy"
        (source / "src").mkdir(parents=True)
        (source / "src" / "lib.rs").write_text("whole")
        (source / "src" / "lib.rs").chmod(0o444)
        (copy / "src").mkdir(parents=True)
        (copy / "src" / "lib.rs").write_text("wh")  # an interrupted copy
        fetch.copy_writable(source, copy)
        self.assertEqual((copy / "src" / "lib.rs").read_text(), "whole")
        self.assertTrue((copy / "src" / "lib.rs").stat().st_mode & 0o200)

    def test_failed_command_shows_its_output(self):
        with self.assertRaisesRegex(SetupError, "exit status 3\nout\nerr"):
            fetch.call(["sh", "-c", "echo out; echo err >&2; exit 3"])

    def test_lock_files(self):
        for group in setup.GROUPS:
            for a in setup.read_group(group):
                with self.subTest(group=group, artifact=a.name):
                    self.assertTrue(a.rules or "module" in a.entry)
                    for d in a.downloads:
                        self.assertIn(d.source, fetch.SOURCES)
                        self.assertRegex(d.sha256, "^[0-9a-f]{64}$")

    def test_requirements_are_hashed(self):
        for path in setup.LOCK.glob("python-*.txt"):
            for line in path.read_text().splitlines():
                if not line.startswith("#"):
                    self.assertRegex(line, r"^[a-z0-9-]+==\S+ --hash=sha256:[0-9a-f]{64}$", path.name)

    def test_tokenizers_is_the_version_of_go_mod(self):
        entry = next(a.entry for a in setup.read_group("runtime") if a.name == "tokenizers")
        go_mod = (setup.NATIVE.parent / "go.mod").read_text()
        self.assertIn(f"{entry['module']} {entry['version']}\n", go_mod)


if __name__ == "__main__":
    unittest.main()
