"""Figures of descent: the tree that neighbour joining draws, and how fast a base fades in its fine-tunings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from natfp_bench.pipeline.result import LIKELIHOOD_REFERENCE, Result
from natfp_bench.plan.split import UNSEEN_REPLICATE
from natfp_bench.results.distances import DrawnTree
from natfp_bench.results.protocols import Protocol
from natfp_bench.results.trends import Trend
from natfp_bench.statistics.trees import Tree

from . import charts
from .descent_words import SHARE
from .drawing import CHANCE, Figure, Plot, colour, figure, height_of, layer, layered, nominal, quantitative, tooltip
from .study_figures import ESTIMATE, estimate

SEVERAL = "of several ancestors"


@dataclass(frozen=True)
class Branch:
    """A branch of a drawn tree: from its beginning to its end, at a height; leaves: those at its end."""

    begins: float
    ends: float
    height: float
    leaves: Sequence[int]
    joined: Sequence[float] = ()
    """Heights of the branches that begin where this one ends."""


def branches(tree: Tree) -> list[Branch]:
    """Lay a tree out from the middle of its longest way, with the leaves at heights 0, 1, 2, ...

    The first branch is the beginning, without a length.
    """
    beside: dict[int, list[int]] = {node: [] for node in range(len(tree.parent))}
    for node, above in enumerate(tree.parent):
        if above is not None:
            beside[node].append(above)
            beside[above].append(node)

    def length(a: int, b: int) -> float:
        return tree.length[a] if tree.parent[a] == b else tree.length[b]

    start, end, before = _middle(tree)
    found: list[Branch] = []

    def grown(node: int, origin: int, begins: float, ends: float) -> Branch:
        onward = [one for one in beside[node] if one != origin]
        if not onward and node < tree.leaves:
            at = sum(not one.joined for one in found)
            made = Branch(begins, ends, float(at), [node])
        else:
            inside = [grown(one, node, ends, ends + length(node, one)) for one in onward]
            heights = [one.height for one in inside]
            leaves = [leaf for one in inside for leaf in one.leaves]
            made = Branch(begins, ends, (min(heights) + max(heights)) / 2, leaves, heights)
        found.append(made)
        return made

    whole = length(start, end)
    first, second = grown(start, end, 0.0, before), grown(end, start, 0.0, whole - before)
    heights = [first.height, second.height]
    return [Branch(0.0, 0.0, sum(heights) / 2, [*first.leaves, *second.leaves], heights), *found]


def _middle(tree: Tree) -> tuple[int, int, float]:
    """The branch with the middle of the longest way between two leaves, and how far it is from the first end."""
    far = tree.between(tree.length)
    a, b = divmod(int(np.round(far, 12).argmax()), tree.leaves)
    if a == b:  # no two leaves are apart
        a, b = 0, 1
    up, down = tree.path(a), tree.path(b)
    shared = next(node for node in up if node in down)
    way = up[: up.index(shared) + 1] + down[: down.index(shared)][::-1]
    walked, half = 0.0, far[a, b] / 2
    for here, there in itertools.pairwise(way):
        step = tree.length[here] if tree.parent[here] == there else tree.length[there]
        if walked + step >= half - 1e-12:
            return here, there, min(step, max(0.0, half - walked))
        walked += step
    raise AssertionError("the middle of a way is on the way")


def tree_figure(result: Result, drawn: DrawnTree) -> Figure:
    """Draw the tree of a result; the colour of a branch is the ancestor of all models at its end."""
    names = drawn.distances.variants
    family = family_names(result, drawn)
    rows: list[dict[str, Any]] = []
    for one in branches(drawn.tree):
        own = {family[leaf] for leaf in one.leaves} if family else set()
        of = own.pop() if len(own) == 1 else SEVERAL
        leaf = names[one.leaves[0]] if not one.joined else None
        row = {"model": leaf, "ancestor": of, "from": one.begins, "to": one.ends, "at": one.height}
        rows.append(row | ({"top": min(one.joined), "bottom": max(one.joined)} if one.joined else {}))
    known = list(dict.fromkeys(family)) if family else []
    unit = drawn.distances.unit
    columns = {"model": "model", "ancestor": "ancestor", "from": "begins at", "to": "ends at", "at": "height"}
    if drawn.distances.kind == "likelihood":
        how = f"Distances are the mean KL divergence of both directions, in {unit}, from the models' likelihoods. "
    else:
        how = f"Distances are {unit} of {drawn.distances.attributor}, because {drawn.distances.why}. "
    caption = (
        f"{how}Only lengths from left to right mean anything. The tree begins at the middle of its longest way, which "
        "is no common ancestor. "
        + (
            "A branch has the colour of an ancestor if all models at its end come from it; grey ones lead to several. "
            "If texts tell descent, each colour is one branch."
            if family
            else "No history is known that colours could show."
        )
    )
    title = "Which models are close to each other?"
    name = f"tree-{result.task.name}".replace("_", "-")
    return figure(name, title, caption, columns, rows, _drawn(rows, known, unit))


def family_names(result: Result, drawn: DrawnTree) -> list[str]:
    """Name the family of each variant: its level or its replicate, whichever the families are; none without history."""
    if drawn.families is None:
        return []
    by_name = {of.name: of for of in result.variants}
    kept = [by_name[name] for name in drawn.distances.variants]
    for named in ([of.level for of in kept], [f"run r{of.replicate}" for of in kept]):
        if len({*zip(drawn.families, named, strict=True)}) == len(set(drawn.families)) == len(set(named)):
            return named
    return [f"family {number + 1}" for number in drawn.families]


def _drawn(rows: Sequence[Mapping[str, Any]], known: Sequence[str], unit: str) -> Plot:
    reach = max(float(row["to"]) for row in rows) or 1.0
    leaves = sum(row["model"] is not None for row in rows)
    # The words at the ends of branches need room.
    longest = max(len(str(row["model"] or "")) for row in rows)
    scale = {"domain": [0, reach * (1 + min(0.9, 0.02 * longest + 0.06))], "nice": False}

    def place(x: str, y: str) -> dict[str, Any]:
        # Every layer says the same of the axes, since what they say is merged.
        return {
            "x": quantitative(x, title=f"distance ({unit})", scale=scale, axis={"tickCount": 6}),
            "y": quantitative(y, title=None, axis=None, scale={"domain": [-0.5, leaves - 0.5], "reverse": True}),
        }

    said = tooltip("model", "ancestor", numbers=("from", "to"))
    mixed, own = f"datum.ancestor === '{SEVERAL}'", f"datum.ancestor !== '{SEVERAL}'"
    across = {**place("from", "at"), "x2": {"field": "to"}, "tooltip": said}
    down = {**place("to", "top"), "y2": {"field": "bottom"}}
    grey = {"type": "rule", "strokeWidth": 2, "color": CHANCE}
    layers = [
        layer(grey, across, mixed),
        layer(grey, down, mixed, "isValid(datum.top)"),
    ]
    words = {"type": "text", "align": "left", "dx": 6, "fontSize": 11}
    label = {**place("to", "at"), "text": nominal("model")}
    if known:
        shade = colour("ancestor", known, legend=True)
        ink = {"type": "rule", "strokeWidth": 3}
        layers += [
            layer(ink, {**across, "color": shade}, own),
            layer(ink, {**down, "color": shade}, own, "isValid(datum.top)"),
        ]
    layers.append(layer(words, label, "isValid(datum.model)"))
    return layered(rows, layers, height_of(leaves, 18))


def fading_figure(trend: Trend, by_digest: Mapping[str, Protocol]) -> Iterator[Figure]:
    """Draw identifiability against the length of the fine-tuning, if nothing else about the models was swept."""
    if SHARE not in trend.over or any(not path.startswith((SHARE, "analysis.")) for path in trend.over):
        return
    rows: list[dict[str, Any]] = []
    reference = trend.reference or "reference attributor"
    for point in trend.points:
        at = point.swept[SHARE]
        # Other studies of the same models have the same scores: one point is enough.
        if not isinstance(at, int | float) or at <= 0 or any(row["at"] == at for row in rows):
            continue
        if found := point.figures.get("identifiability"):
            rows.append({"at": float(at), "series": reference, **estimate(found.estimate)})
        score = by_digest[point.protocol_digest].level(UNSEEN_REPLICATE).get(LIKELIHOOD_REFERENCE)
        if score and "identifiability" in score.metrics:
            other = {"series": "likelihoods of the other models", **estimate(score.metrics["identifiability"])}
            rows.append({"at": float(at), **other})
    if not rows:
        return
    names = list(dict.fromkeys(str(row["series"]) for row in rows))
    x_title = "length of the fine-tuning, as a share of the training before it"
    chart = charts.curve(
        sorted(rows, key=lambda row: (names.index(row["series"]), row["at"])),
        x="at",
        series="series",
        names=names,
        x_title=x_title,
        y_title="identifiability of the ancestor",
        logarithmic=True,
        lines={"chance": 0.0},
        reference=reference,
    )
    caption = (
        "0 is chance and 1 is certainty, on fine-tunings that no classifier has met. Bands are 95% intervals over "
        "replicates, where there are three or more."
    )
    columns = {"series": "by", "at": x_title, **ESTIMATE}
    yield figure(
        f"fading-{trend.task}".replace("_", "-"), "How fast does an ancestor fade?", caption, columns, rows, chart
    )
