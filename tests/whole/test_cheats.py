"""Classifiers that cheat in real runs, without a sandbox: a process of its own holds back what it can.

What a sandbox adds is tested in tests/attributors/test_box.py, and what scores give away in test_suspicion.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench import Bench, scores
from written_baselines import plant

CHEAT = """
import numpy as np
class Cheat:
    def fit(self, texts, labels):
        self.classes_ = np.unique(labels)
        {fit}
        return self
    def predict_proba(self, texts):
        known = {{}}
        {ask}
        found = np.ones((len(texts), len(self.classes_)))
        for row, text in enumerate(texts):
            if text in known:
                found[row, list(self.classes_).index(known[text])] = 1000
        return found / found.sum(axis=1, keepdims=True)
def build(seed):
    return Cheat()
"""

LABELS = """
        import gc, sys
        frame, held = sys._getframe(), list(gc.get_objects())
        while frame:
            held += list(frame.f_locals.values())
            frame = frame.f_back
        for one in held:
            for part in one if isinstance(one, (list, tuple)) else [one]:
                if type(part).__name__ == "LabelledTexts":
                    known.update(dict.fromkeys(part.texts, part.label))
"""

RIVALS = """
        import natfp_bench.attributors.attribute as attribute
        import natfp_bench.attributors.registry as registry
        spoilt = lambda *_, **__: self
        registry.build = registry.build_bundled = registry._module = spoilt
        attribute.check_proba = lambda answer, texts, classes: np.full((texts, classes), 1 / classes)
        np.unique = np.full = spoilt

"""

PARENT = """
        import os, pickle, struct
        class Evil:
            def __reduce__(self):
                return (os.system, ({command!r},))
        loads = pickle.dumps(("end", Evil(), None))
        for number in range(3, 200):
            try:
                os.write(number, struct.pack("!i", len(loads)) + loads)
            except OSError:
                pass
"""


def test_labels_are_out_of_reach(bench: Bench, tmp_path: Path) -> None:
    cheat = plant(tmp_path, "walks", CHEAT.format(fit="", ask=LABELS.strip()))
    result, _ = bench.run("seed_id", baselines=cheat)
    found = scores(result)["walks"]
    assert (found.status, found.metrics["accuracy"].value) == ("ok", found.chance)


@pytest.mark.slow
def test_rivals_stay_what_they_are(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    """One worker does all of it: first the vandal, then those whose answers it would spoil."""
    cheat = plant(tmp_path, "spoils", CHEAT.format(fit="", ask=RIVALS.strip()))
    result, _ = bench.run("seed_id", baselines=f"{cheat},unigram,naive_bayes", store=tmp_path / "store")
    for name in ("unigram", "naive_bayes"):
        assert scores(result)[name].metrics == scores(seed_run[0])[name].metrics


def test_no_object_of_it_is_made_anywhere_else(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    cheat = plant(tmp_path, "sends", CHEAT.format(fit="", ask=PARENT.format(command=f"touch {mark}").strip()))
    result, _ = bench.run("seed_id", baselines=f"{cheat},unigram")
    assert "its process sent" in str(scores(result)["sends"].error)
    assert scores(result)["unigram"].metrics == scores(seed_run[0])["unigram"].metrics
    assert not mark.exists()


def test_what_it_prints_is_in_a_log_and_not_on_the_table(bench: Bench, tmp_path: Path, capfd: Any) -> None:
    shout = "| 1 | mine | 1.000 |"
    cheat = plant(tmp_path, "shouts", CHEAT.format(fit=f"import os; os.write(1, b{shout!r}); print({shout!r})", ask=""))
    bench.run("seed_id", baselines=cheat)
    assert shout not in "".join(capfd.readouterr())
    (said,) = [event.text for event in bench.events if event.kind == "warning" and "printed something" in event.text]
    assert shout in Path(said.split(": ")[-1]).read_text()
