"""Corrected captions, read from what people edit: Label Studio's export, or results as JSON Lines.

Only captions are taken: boxes that were moved, added or removed there change nothing here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regioncap.errors import UsageError
from regioncap.files import open_input
from regioncap.outputs.exports.labelstudio import REGION_ID

#: Largest file that is taken: corrected captions of millions of regions.
MAX_BYTES = 500_000_000
#: Longest caption that is taken; more than the longest answer of an engine.
MAX_CAPTION_CHARS = 200_000
#: C0 without tab and line ends, DEL, C1, and surrogates, which no file in UTF-8 can hold.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(slots=True)
class Edit:
    """What a person made of one record's captions."""

    #: Captions by region number, changed ones and others.
    captions: dict[int, str] = field(default_factory=dict)
    #: Who, as far as known.
    by: str | None = None
    #: Which version of the record was edited, as `version_of` tells it; None if that is not known.
    of: Any = None


#: Edits by the record's index.
Edits = dict[int, Edit]


def read_edits(path: Path, job_id: str, *, by: str | None = None) -> Edits:
    """Reads a file of corrected captions.

    Args:
        path: A JSON list of Label Studio's tasks with annotations, or edited results, one a line.
        job_id: The job that they must belong to.
        by: Who edited, where the file does not say.

    Raises:
        UsageError: It cannot be read (`no-input-file`), holds something else (`bad-edits`), or
            belongs to another job (`other-job`).
    """
    try:
        with open_input(path) as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes (give the edited records alone)")
        text = data.decode("utf-8-sig")
        if text.lstrip().startswith("["):
            return dict(_from_tasks(json.loads(text), job_id, by))
        return dict(_from_results(text, job_id, by))
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise UsageError(
            f"{path} holds no edits: {_why(error)}",
            code="bad-edits",
            hint="give Label Studio's export in its JSON format, or edited results as JSON Lines",
        ) from error


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, AttributeError):
        return "a value is of another kind than it has to be"
    return str(error)


def _from_tasks(tasks: list[Any], job_id: str, by: str | None) -> Iterator[tuple[int, Edit]]:
    """Of several annotations of a task the one updated last counts."""
    for task in tasks:
        _check_job(task["data"].get("regioncap_job"), job_id)
        done = [each for each in task.get("annotations", []) if not each.get("was_cancelled")]
        if done:
            last = max(done, key=lambda each: str(each.get("updated_at", "")))
            yield (
                _whole(task["data"]["regioncap_index"]),
                Edit(_texts(last["result"]), _annotator(last) or by),
            )


def _texts(results: list[Mapping[str, Any]]) -> dict[int, str]:
    captions = {}
    for result in results:
        known = re.fullmatch(REGION_ID.format(r"(\d+)"), result.get("id", ""))
        if known and result.get("type") == "textarea":
            text = _text(result["value"]["text"], result["id"]).strip()
            if text:
                captions[int(known[1])] = text
    return captions


def check_caption(caption: str) -> str:
    """Returns a caption that takes an earlier one's place; one that is as it was is not checked.

    Raises:
        UsageError: It is too long, or holds what commands terminals.
    """
    control = _CONTROL.search(caption)
    if control is None and len(caption) <= MAX_CAPTION_CHARS:
        return caption
    what = (
        f"{len(caption):,} characters (at most {MAX_CAPTION_CHARS:,})"
        if control is None
        else f"the control character U+{ord(control[0]):04X}"
    )
    raise UsageError(
        f"a caption has {what}: {caption[:40]!r}",
        code="bad-edits",
        hint="shorten it, or take it out",
    )


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{str(value)[:40]!r} is no number of a record or region")
    return value


def _text(value: Any, where: str) -> str:
    """The one text of a field, which Label Studio writes as a string or a list of them."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise TypeError(f"the text of {where} is {value!r:.80}")
    return "\n".join(texts)


def _annotator(annotation: Mapping[str, Any]) -> str | None:
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    return None if who is None else str(who)


def _from_results(text: str, job_id: str, by: str | None) -> Iterator[tuple[int, Edit]]:
    for line in text.split("\n"):  # and at nothing else that some take for the end of a line
        if line.strip():
            record = json.loads(line)
            _check_job(_job_of(record["result_file"]), job_id)
            captions = {
                _whole(region["region"]): region["caption"].strip()
                for region in record["regions"]
                if region["caption"] and region["caption"].strip()
            }
            of = version_of(record) if "answers" in record else None
            yield _whole(record["index"]), Edit(captions, by, of)


def version_of(record: Mapping[str, Any]) -> Any:
    """What is another one as soon as a record is edited, run again or verified."""
    return [record.get("edited"), record.get("answers")]


def _job_of(result_file: str) -> str | None:
    found = re.search(r"jobs/([^/]+)/results/", result_file)
    return found[1] if found else None


def _check_job(found: str | None, wanted: str) -> None:
    if found != wanted:
        raise UsageError(
            f"the edits belong to {found or 'no job'}, not to {wanted}",
            code="other-job",
            hint=f"regioncap import-edits {found} FILE" if found else "was it exported by us?",
        )
