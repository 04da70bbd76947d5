"""What make and CI install, and what a release is made of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from typing import Any

import pytest
from fresh_python import ROOT
from packaging.requirements import Requirement
from ruamel.yaml import YAML

import natfp_bench

HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")

RELEASE: Any = YAML(typ="safe").load(ROOT / ".github/workflows/release.yml")


def packages(name: str) -> dict[str, str]:
    """Packages of a file of constraints and their versions, with names as indexes compare them."""
    text = (ROOT / name).read_text(encoding="utf-8")
    pins = [line.split()[0].split("==") for line in text.splitlines() if re.match(r"\w", line)]
    found = {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pins}
    assert len(found) == len(pins), "each package once"
    return found


def test_versions_and_hashes_are_of_the_same_packages() -> None:
    assert packages("constraints.hashed.txt") == packages("constraints.txt")
    torch = packages("constraints.txt")["torch"]
    assert packages("constraints.cpu.txt") == {"torch": f"{torch}+cpu"}
    cuda = packages("constraints.cuda.txt")
    assert not cuda.keys() & packages("constraints.txt").keys()
    assert all(re.fullmatch(r"(cuda|nvidia)-.+|triton", name) for name in cuda)


@pytest.mark.parametrize("kind", ["hashed", "cpu", "cuda", "sbom"])
def test_every_package_has_hashes_and_no_line_has_anything_else(kind: str) -> None:
    text = (ROOT / f"constraints.{kind}.txt").read_text(encoding="utf-8")
    assert text.startswith("# Written by `make hashes`")
    lines = re.sub(r" \\\n *", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    assert lines == sorted(lines, key=lambda line: line.split("==")[0])
    marker = r"(?: ; [\w\s.'()<>=!]+)?"
    odd = [line for line in lines if not re.fullmatch(rf"[\w.-]+==[\w.+]+{marker}(?: {HASH.pattern})+", line)]
    assert not odd, "no options, no addresses, no package without a hash"


def test_what_pyproject_asks_for_is_in_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    asked = [
        *project["project"]["dependencies"],
        *project["build-system"]["requires"],
        *(one for extra in extras.values() for one in extra),
    ]
    known = packages("constraints.txt")
    for one in map(Requirement, asked):
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        assert name == "natfp-bench" or one.specifier.contains(known[name]), one


def dry_run(*arguments: str) -> list[str]:
    """The commands by which make would install."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    command = ["make", "--dry-run", "--always-make", ".venv", *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "HASHES")}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return [line.strip() for line in done.stdout.replace("\\\n", "").splitlines() if "pip install" in line]


def test_make_installs_with_hashes_and_nothing_but_this_package_without() -> None:
    commands = dry_run()
    own = [command for command in commands if "--require-hashes" not in command]
    assert len(own) == 1
    assert own[0].endswith("--no-deps --no-build-isolation -e .")
    files = [re.findall(r"-r ([^\s;]+)", command) for command in commands if command not in own]
    names = [".venv/setuptools.txt", *(f"constraints.{kind}.txt" for kind in ("cpu", "hashed", "cuda"))]
    assert files == [[name] for name in names]
    assert all("--no-deps --no-build-isolation" in command for command in commands)
    assert [command.split("install ")[1] for command in dry_run("HASHES=0")] == [
        "--disable-pip-version-check --no-compile -q -c constraints.txt -e '.[dev]'"
    ]


def test_workflows_install_by_make() -> None:
    assert "make lint test check" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    for path in (ROOT / ".github/workflows").iterdir():
        for job in YAML(typ="safe").load(path)["jobs"].values():
            runs = "\n".join(step.get("run", "") for step in job["steps"])
            # Only the wheel is installed as a user installs it: without this repository.
            assert ("pip install" in runs) == ("without a checkout" in job["name"]), path
            assert "make .venv" in runs or ".venv/bin" not in runs


def scripts(job: str) -> str:
    return "\n".join(step.get("run", "") for step in RELEASE["jobs"][job]["steps"])


def used(job: str) -> list[str]:
    return [step["uses"].split("@")[0] for step in RELEASE["jobs"][job]["steps"] if "uses" in step]


def test_a_tag_is_built_tested_without_a_checkout_attested_and_published() -> None:
    assert RELEASE["on"] == {"push": {"tags": ["v*"]}}
    assert [command for command in ("make dist", "make sbom") if command in scripts("build")] == [
        "make dist",
        "make sbom",
    ]
    assert "actions/checkout" not in used("test")
    test = scripts("test")
    assert re.search(r"fresh/bin/python -m pip install .*dist/\*\.whl", test)
    assert 'natfp-bench" run --task seed_id --preset smoke' in test
    assert {"HF_HUB_OFFLINE": "1"} in [step.get("env") for step in RELEASE["jobs"]["test"]["steps"]]
    publish = RELEASE["jobs"]["publish"]
    assert publish["needs"] == ["build", "test"]
    assert publish["environment"] == "pypi"
    assert used("publish")[-3:] == ["actions/attest", "actions/attest", "pypa/gh-action-pypi-publish"]
    assert "password" not in str(publish)
    assert "secrets" not in str(RELEASE)


@pytest.mark.parametrize(("tag", "code"), [("v{}", 0), ("{}", 1), ("v{}.1", 1), ("v0", 1)])
def test_a_tag_must_be_the_version(tag: str, code: int) -> None:
    (script,) = [step["run"] for step in RELEASE["jobs"]["build"]["steps"] if "GITHUB_REF_NAME" in step.get("run", "")]
    environment = {**os.environ, "GITHUB_REF_NAME": tag.format(natfp_bench.__version__)}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == code
    assert bool(done.stderr) == bool(code)


def test_the_security_page_has_what_people_look_for() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for word in ("Report a vulnerability", "self-reported", "bubblewrap", "trust_remote_code", "CODEOWNERS"):
        assert word in text
    owners = (ROOT / ".github/CODEOWNERS").read_text(encoding="utf-8")
    assert {"/.github/", "/natfp_bench/"} <= {line.split()[0] for line in owners.splitlines() if line}
