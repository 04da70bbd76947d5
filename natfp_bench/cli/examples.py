"""Examples at the end of each command's help: what people type most."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": ("run --task seed_id", "show results/seed_id/quick/RUN --details", "report results/ -o site"),
    "list": ("list", "list baselines"),
    "show": (
        "show lr_id --preset standard",
        "show results/lr_id/quick/RUN",
        "show results/lr_id/quick/RUN --details",
        "show results/seed_id/quick/RUN/curve.json",
    ),
    "run": (
        "run --task seed_id",
        "run --task lr_id,size_id --replicates 5",
        "run --tag seeds,optimisation",
        "run --task seed_id --corpus text:notes.txt --baseline fast,./my_words",
        "run --fixed-texts --task all",
    ),
    "sweep": (
        "sweep --task seed_id --over budget.tokens=x0.25,x0.5,x1,x2,x4 --over model.width=32,64,128 --dry-run",
        "sweep --task fork_id --over fork.at=0.25,0.5,0.75,0.9",
    ),
    "curve": (
        "curve --task seed_id --texts 250,1000,4000,16000,64000 --dry-run",
        "curve --task seed_id --texts 250,500,1000,2000,4000,8000 --attributors naive_bayes,unigram",
    ),
    "texts": (
        "texts data.jsonl",
        "texts data.csv --text-column body --label-column author --group-column book",
        "texts shakespeare.txt presidents.txt",
    ),
    "compare": ("compare results/seed_id/quick/RUN1 results/seed_id/quick/RUN2",),
    "leaderboard": ("leaderboard", "leaderboard results/ --format md -o table.md"),
    "report": ("report results/ -o site", "report results/ --figures figures --only factors"),
    "identify": (
        "identify --result results/seed_id/quick/RUN letter.txt",
        "identify --result results/seed_id/quick/RUN --target level texts.jsonl",
        "identify --result results/base_id/quick/RUN --descent texts.jsonl",
    ),
    "trace": (
        "trace --model models/a --model models/b --texts letter.txt",
        "trace --model openai-community/gpt2 --texts texts.jsonl --preset smoke --dry-run",
    ),
    "regress": ("regress --reference reference.parquet", "regress --reference reference.parquet --update"),
    "export": (
        "export results/seed_id/quick/RUN --format csv -o texts",
        "export results/seed_id/quick/RUN --format datasets -o dataset",
        "export results/base_id results/teacher_id --format distances -o distances",
    ),
    "import-lm-eval": ("import-lm-eval out --result results/seed_id/quick/RUN",),
    "check-models": ("check-models pythia_seed_id",),
    "validate": ("validate my_tasks/my_task.yaml",),
    "schema": ("schema", "schema task"),
    "baseline": ("baseline new my_words", "baseline check my_words"),
    "baseline new": ("baseline new my_words",),
    "baseline check": ("baseline check my_words", "baseline check ngram_lm"),
    "baseline submit": ("baseline submit my_words", "baseline submit my_words --task seed_id --sandbox off"),
    "hidden": ("hidden score my_words --secret FILE",),
    "hidden make": ("hidden make --secret FILE",),
    "hidden score": ("hidden score my_words --secret FILE",),
    "hidden rotate": ("hidden rotate --secret FILE",),
    "hidden board": ("hidden board hidden.json", "hidden board hidden.json --format md -o hidden.md"),
    "hidden check": ("hidden check hidden.json --secret FILE",),
    "store": ("store ls", "store gc --dry-run"),
    "store ls": ("store ls",),
    "store verify": ("store verify",),
    "store gc": ("store gc --older-than 30 --dry-run",),
}
"""By command, without the program's name."""


def epilog(command: str) -> str:
    """The examples of a command, as the end of its help."""
    lines = "\n".join(f"  natfp-bench {example}" for example in EXAMPLES[command])
    return f"\b\nExamples:\n{lines}"  # \b: these lines are not wrapped together
