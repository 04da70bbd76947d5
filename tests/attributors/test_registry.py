"""Finding baselines: bundled, by path, by entry point; and building them."""

import importlib.util
import os
import pickle
import py_compile
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import written_baselines

from natfp_bench.attributors import code_digest, registry
from natfp_bench.attributors.box import Box
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base import resources
from natfp_bench.base.errors import AttributorError, SpecError, UserError

CODE = """
class Echo:
    def __init__(self, seed): self.seed = seed
    def fit(self, texts, labels): return self
    def predict_proba(self, texts): return None
def build(seed):
    return Echo(seed)
"""


def write(parent: Path, name: str = "mine", *, code: str = CODE, card: str = "") -> Path:
    return written_baselines.write(parent, code, name=name, card=card)


def names(found: list[Baseline]) -> list[str]:
    return [baseline.name for baseline in found]


def test_bundled_baselines_are_all_folders_with_sound_cards():
    found = registry.bundled()
    assert names(found) == sorted(path.parent.name for path in resources.baselines().glob("*/baseline.py"))
    assert {"majority", "unigram", "char_ngram", "naive_bayes"} <= set(names(found))
    assert all((baseline.folder / "README.md").is_file() for baseline in found)
    assert [baseline.name for baseline in found if baseline.card.floor] == ["majority"]


def test_selection():
    fast = [baseline.name for baseline in registry.bundled() if baseline.card.cost == "fast"]
    assert names(registry.find("fast")) == fast
    assert names(registry.find("all")) == names(registry.bundled())
    assert names(registry.find("unigram, majority")) == ["unigram", "majority"]
    assert names(registry.find("unigram,fast")).count("unigram") == 1


@pytest.mark.parametrize("path", ["{tmp}/mine", "{tmp}/mine/", "./mine", ".", "unigram,./mine"])
def test_path_of_a_folder(tmp_path, monkeypatch, path):
    folder = write(tmp_path)
    monkeypatch.chdir(folder if path == "." else tmp_path)
    baseline = registry.find(path.format(tmp=tmp_path))[-1]
    assert (baseline.name, baseline.folder) == ("mine", folder.resolve())
    assert registry.build(baseline, seed=3).seed == 3


def test_unknown_name_says_what_was_meant():
    with pytest.raises(UserError, match=r"(?s)unknown baseline 'unigrm'.*did you mean: unigram.*list baselines"):
        registry.find("unigrm")
    with pytest.raises(UserError, match="no baseline is named"):
        registry.find(" , ")


def test_broken_folders(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        registry.find(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no baseline\.py and no card\.yaml"):
        registry.find(str(tmp_path / "empty"))
    (write(tmp_path, "cardless") / "card.yaml").unlink()
    with pytest.raises(UserError, match=r"holds no card\.yaml"):
        registry.find(str(tmp_path / "cardless"))
    with pytest.raises(SpecError, match=r"card\.yaml:7: unknown key 'flor' \(did you mean 'floor'\?\)"):
        registry.find(str(write(tmp_path, "typo", card="flor: true\n")))
    write(tmp_path, "other").rename(tmp_path / "renamed")
    with pytest.raises(UserError, match="'other' is not the folder's name 'renamed'"):
        registry.find(str(tmp_path / "renamed"))
    with pytest.raises(UserError, match="no plain name"):
        registry.find(str(write(tmp_path, "two words")))


def test_one_name_for_two_baselines_is_an_error_and_one_baseline_twice_is_not(tmp_path):
    one, two = write(tmp_path / "a"), write(tmp_path / "b")
    with pytest.raises(UserError, match="two baselines are named 'mine'"):
        registry.find(f"{one},{two}")
    assert names(registry.find(f"{one},{one}/")) == ["mine"]


def test_digest_follows_the_files_and_an_edited_folder_is_loaded_anew(tmp_path):
    folder = write(tmp_path)
    before = registry.read(folder)
    assert type(registry.build(before, 0)).__name__ == "Echo"
    (folder / "baseline.py").write_text(CODE.replace("Echo", "Edited"))
    after = registry.read(folder)
    assert after.digest != before.digest
    assert type(registry.build(after, 0)).__name__ == "Edited"


def test_pickles_and_builds_in_another_process(tmp_path):
    (write(tmp_path) / "part.py").write_text("VALUE = 41\n")
    code = CODE.replace("\nclass", "\nfrom .part import VALUE\nclass").replace("Echo(seed)", "Echo(seed + VALUE)")
    (tmp_path / "mine" / "baseline.py").write_text(code)
    baseline = registry.read(tmp_path / "mine")
    (tmp_path / "pickled").write_bytes(pickle.dumps(baseline))
    script = (
        "import pickle, sys; from natfp_bench.attributors import registry\n"
        "print(registry.build(pickle.load(open(sys.argv[1], 'rb')), 1).seed)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "pickled")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "42"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", r"mine: baseline.py defines no function build\(seed\)"),
        ("def build(): pass", r"mine: build\(seed=\.\.\.\) cannot be called: .*'seed'"),
        ("def build(seed, size): pass", r"cannot be called: .*'size'"),
        ("def build(seed): return 3", "returned an object of type int without fit and predict_proba"),
        ("def build(seed):\n    raise ValueError('one\\ntwo')", r"build .* ValueError: two \(baseline.py:2\)"),
        ("import no_such_module_xyz", r"needs the module 'no_such_module_xyz'.*'requires' in card\.yaml"),
        ("import sys; sys.exit(3)", "import of baseline.py failed: SystemExit: 3"),
        ("def build(seed)", "import of baseline.py failed: SyntaxError"),
    ],
)
def test_a_baseline_that_cannot_be_built(tmp_path, code, message):
    with pytest.raises(AttributorError, match=message):
        registry.build(registry.read(write(tmp_path, code=code)), 0)


def test_missing_requirement_is_named(tmp_path):
    folder = write(tmp_path, code="import no_such_module_xyz", card="requires: [no-such>=2]\n")
    with pytest.raises(AttributorError, match=r"pip install 'no-such>=2'$"):
        registry.build(registry.read(folder), 0)


def package(site: Path, entry: str) -> None:
    """Write the files that pip writes when it installs a package with one entry point."""
    info = site / "natfp_extras-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: natfp-extras\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{entry}\n")


@pytest.mark.parametrize(
    "target", ["natfp_extras.mine", "natfp_extras.mine.baseline", "natfp_extras.mine.baseline:build"]
)
def test_entry_point_of_an_installed_package_is_found_without_importing_it(tmp_path, monkeypatch, target):
    folder = write(tmp_path / "natfp_extras")
    (tmp_path / "natfp_extras" / "__init__.py").write_text("raise RuntimeError('imported')")
    package(tmp_path, f"mine = {target}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.find("mine")[0].folder == folder.resolve()
    assert names(registry.installed()) == ["mine"]
    assert "mine" not in names(registry.find("all"))
    assert registry.build(registry.find("mine")[0], 5).seed == 5


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("mine = nowhere_xyz.mine", "'nowhere_xyz', which is not installed"),
        ("mine = natfp_extras.lost", "leads to no folder"),
        ("other = natfp_extras.mine", "leads to the baseline 'mine'"),
    ],
)
def test_entry_point_that_leads_nowhere(tmp_path, monkeypatch, entry, message):
    write(tmp_path / "natfp_extras")
    package(tmp_path, entry)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=message):
        registry.find(entry.split()[0])


def test_an_installed_baseline_cannot_take_a_bundled_name(tmp_path, monkeypatch):
    write(tmp_path / "natfp_extras", "unigram")
    package(tmp_path, "unigram = natfp_extras.unigram")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="two baselines are named 'unigram'"):
        registry.find("unigram")


def test_the_digest_covers_every_file_that_can_be_read(tmp_path):
    folder = write(tmp_path)
    before = registry.read(folder).digest
    (folder / ".labels").write_text("x")
    hidden = registry.read(folder).digest
    (folder / ".data").mkdir()
    (folder / ".data" / "labels").write_text("x")
    assert len({before, hidden, registry.read(folder).digest}) == 3
    (folder / "results.json").write_text("{}")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "baseline.cpython-311.pyc").write_bytes(b"x")
    shutil.rmtree(folder / ".data")
    assert registry.read(folder).digest == hidden
    with pytest.raises(UserError, match=r"holds __pycache__, which is no part of its code\n  rm -r "):
        code_digest.files_of(folder, caches=False)


@pytest.mark.parametrize("make", ["link", "folder link", "dangling link", "pipe"])
def test_what_is_no_file_is_refused(tmp_path, make):
    folder = write(tmp_path)
    place = folder / "extra"
    if make == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to({"link": "/etc/hostname", "folder link": "/etc", "dangling link": "/nowhere"}[make])
    with pytest.raises(UserError, match="extra: not a file; a baseline holds files and folders, and no links"):
        registry.read(folder)


PART = """
class Answer:
    def fit(self, texts, labels):
        raise ValueError("fit returned {}")
    predict_proba = fit
"""


def test_compiled_files_are_neither_written_nor_read(tmp_path):
    """A compiled file with the time and size of its source would run in its place."""
    folder = write(tmp_path, code="def build(seed):\n    from .part import Answer\n    return Answer()\n")
    (folder / "part.py").write_text(PART.format("aaaa"))
    cached = tmp_path / "other.pyc"
    (tmp_path / "other.py").write_text(PART.format("bbbb"))
    for source in (tmp_path / "other.py", folder / "part.py"):
        os.utime(source, ns=(10**18, 10**18))
    py_compile.compile(str(tmp_path / "other.py"), str(cached))
    place = Path(importlib.util.cache_from_source(str(folder / "part.py")))
    place.parent.mkdir()
    shutil.copy(cached, place)
    with Box(registry.read(folder)) as box, pytest.raises(AttributorError, match="fit returned aaaa"):
        box.build(0).fit(["a", "b"], ["x", "y"])
    assert sorted(path.name for path in folder.rglob("*.pyc")) == [place.name]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("requires: ['numpy @ https://example.org/numpy.whl']", "no address or condition"),
        ("requires: ['--index-url=https://example.org']", "is no package with a version"),
        ("requires: ['-r other.txt']", "is no package with a version"),
        ("requires: ['./mine']", "is no package with a version"),
        ("requires: ['/tmp/mine.whl']", "is no package with a version"),
        ("requires: ['git+https://example.org/x']", "is no package with a version"),
        ("requires: ['numpy; python_version > \"3\"']", "no address or condition"),
        ("requires: ['numpy\\n--pre']", "is no package with a version"),
        ("requires: ['']", "is no package with a version"),
        ("limits: {seconds: 1e9}", "at most 43200 seconds and 16384 MB"),
        ("limits: {memory_mb: 1000000}", "at most 43200 seconds and 16384 MB"),
        ("batch: 0", "greater than 0"),
        ("batch: 5000", "less than or equal to 512"),
    ],
)
def test_a_card_asks_for_packages_and_limits_and_nothing_else(tmp_path, card, said):
    with pytest.raises(SpecError, match=re.escape(said)):
        registry.read(write(tmp_path, card=card + "\n"))


def test_versions_of_packages_are_part_of_the_digest(tmp_path, monkeypatch):
    folder = write(tmp_path, card="requires: ['numpy>=2', 'no_such-package', scipy]\n")
    found = registry.read(folder)
    assert found.card.packages == ("no_such-package", "numpy", "scipy")
    monkeypatch.setattr(code_digest.importlib.metadata, "version", lambda name: "9.9")
    assert registry.read(folder).digest != found.digest


def test_a_card_that_is_a_link_is_not_read(tmp_path):
    folder = write(tmp_path)
    (tmp_path / "private.yaml").write_text("password: secret\n")
    (folder / "card.yaml").unlink()
    (folder / "card.yaml").symlink_to(tmp_path / "private.yaml")
    with pytest.raises(UserError, match=r"card.yaml: not a file") as caught:
        registry.read(folder)
    assert "password" not in str(caught.value)
