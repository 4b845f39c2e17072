"""The types of a result's fields, for Hugging Face's datasets.

Without them the first megabytes of a file decide what the columns are, and a value that comes late,
an id that is text, the first error, ends the loading. What users bring (`id`, `bbox`, `meta`) may
hold anything and is typed as JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Features


def features() -> Features:
    """The columns of results and of exports to JSON Lines, in their order."""
    from datasets import Features, Json, List, Value

    text, number, real = Value("string"), Value("int64"), Value("float64")
    return Features(
        {
            "image": text,
            "type": text,
            "bbox": Json(),
            "normalized_bbox": List(List(real)),
            "result_file": text,
            "image_with_bbox": text,
            "valid_bboxes_num": number,
            "prompt": text,
            "answer": text,
            "id": Json(),
            "index": number,
            "line": number,
            "width": number,
            "height": number,
            "regions": List(
                {
                    "region": number,
                    "bbox": List(real),
                    "colour": text,
                    "view": text,
                    "status": text,
                    "caption": text,
                    "why": text,
                    "attributes": Json(),
                    "verified": Value("bool"),
                    "verified_as": number,
                }
            ),
            "image_caption": text,
            "pictures": List(text),
            "engine": text,
            "model": text,
            "prompt_version": text,
            "mark_style": text,
            "region_mode": text,
            "answers": List({"text": text, "finish_reason": text, "regions": List(number)}),
            "usage": {
                "prompt_tokens": number,
                "completion_tokens": number,
                "requests": number,
                "gpu_ms": number,
            },
            "finish_reason": text,
            "reused": {"job": text, "index": number},
            "edited": {"at": text, "by": text, "regions": List(number)},
            "meta": Json(),
            "error": {"code": text, "message": text, "stage": text},
            "schema_version": number,
            "box_format": text,
        }
    )
