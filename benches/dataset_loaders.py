"""Do the libraries that datasets are made for load them? Builds every kind and hands it to their own loaders.

Run: `PYTHONPATH=src python benches/dataset_loaders.py --python PATH [--out FILE]`, where PATH is a Python that has
`datasets`, `transformers` and `trl` (`pip install datasets transformers; pip install --no-deps trl`; PyTorch is not
needed, nothing is trained). Each split is loaded with `load_dataset("json")`; TRL then says whether it is a
conversation, whether the prompt stays what it is, and takes preference pairs apart for KTO; a chat template renders
every row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SETS = [("sft", "trl"), ("dpo", "trl"), ("kto", "trl"), ("sft", "openai"), ("dpo", "openai"), ("cases", "trl")]
ANSWERS = 2000

CHECK = """
import json, sys
from pathlib import Path
import datasets, transformers, trl
from datasets import concatenate_datasets, load_dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl.data_utils import is_conversational, maybe_extract_prompt, unpair_preference_dataset

template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, chat_template=template)

def rendered(row):
    if "messages" in row:
        return [row["messages"]]
    if "input" in row:
        asked = row["input"]["messages"] if isinstance(row["input"], dict) else row["input"]
        ends = [row[key] for key in ("preferred_output", "non_preferred_output") if key in row]
        return [asked + end for end in ends] or [asked]
    return [row["prompt"] + row[key] for key in ("completion", "chosen", "rejected") if key in row]

found = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    files = {path.stem: str(path) for path in sorted(folder.glob("*.jsonl")) if path.stem != "lineage"}
    loaded = load_dataset("json", data_files=files, cache_dir=sys.argv[2])
    told = {"rows": {name: len(part) for name, part in loaded.items()}}
    part = concatenate_datasets(list(loaded.values()))
    told["columns"] = part.column_names
    texts = [tokenizer.apply_chat_template(turns, tokenize=False) for row in part for turns in rendered(row)]
    told["rendered"] = len(texts)
    assert all(texts)
    if folder.name.endswith("trl") and not folder.name.startswith("cases"):
        told["conversational"] = all(is_conversational(row) for row in part)
        told["prompt_stays"] = all(maybe_extract_prompt(dict(row))["prompt"] == row["prompt"] for row in part)
        assert told["conversational"] and told["prompt_stays"]
    if folder.name == "dpo-trl":
        apart = unpair_preference_dataset(part)
        told["unpaired"] = {"columns": apart.column_names, "rows": len(apart)}
    found[folder.name] = told
versions = {"datasets": datasets.__version__, "transformers": transformers.__version__, "trl": trl.__version__}
print(json.dumps({"versions": versions, "sets": found}))
"""


def built(folder: Path) -> dict[str, dict[str, int]]:
    """Build every kind of set under `folder / "sets"`; return their rows by split."""
    sys.path.insert(0, str(ROOT))
    from tests.unit.act.datasets.world import world  # noqa: PLC0415  the path is known only now

    counts = {}
    with world(folder / "data") as made:
        made.busy(ANSWERS)
        turns = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "and as a conversation?"}]
        made.corrected("conversation", input=turns)
        made.settle()
        made.case("what is golden?")
        for kind, style in SETS:
            record = made.order(kind, format=style)
            (folder / "sets").mkdir(exist_ok=True)
            made.folder(record).rename(folder / "sets" / f"{kind}-{style}")
            counts[f"{kind}-{style}"] = dict(record.rows)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "dataset_loaders.json")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        counts = built(Path(name))
        done = subprocess.run(
            [str(told.python), "-c", CHECK, f"{name}/sets", f"{name}/cache"],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": f"{name}/home", "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for each, rows in counts.items():
        assert found["sets"][each]["rows"] == rows, (each, found["sets"][each], rows)
        print(f"{each:<12}{found['sets'][each]}")
    told.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
