"""Output: one line of the results."""

from __future__ import annotations

from typing import Any

from regioncap import records
from regioncap.captions.conversation import Captioned
from regioncap.job import Job
from regioncap.services.store import Store
from regioncap.views import prompts


def output_record(
    captioned: Captioned, job: Job, store: Store, *, result_file: str, engine: str, model: str
) -> dict[str, Any]:
    """One line of the results: the reference's nine fields by the same names, then ours."""
    record = captioned.record
    failed, said = record.error is not None, captioned.answers
    views = record.all_views if job.settings.keep_marked else []
    pictures = [(view, store.uri(view.key)) for view in views]
    whole = job.settings.image_caption
    of_regions = [each.text for each in said if each.regions or not whole]
    return {
        "image": record.image,
        "type": "without_bbox" if record.bbox is None else record.type,
        "bbox": record.bbox,
        "normalized_bbox": record.normalized_bbox,
        "result_file": result_file,
        "image_with_bbox": next((uri for view, uri in pictures if view.way == "marks"), None),
        "valid_bboxes_num": sum(len(view.regions) for view in record.views),
        "prompt": record.views[0].prompt.text if record.views else None,
        "answer": None if failed or not of_regions else "\n".join(of_regions),
        "id": record.id,
        "index": record.index,
        "line": record.line,
        "width": record.width,
        "height": record.height,
        "regions": [region.model_dump() for region in record.regions],
        "image_caption": record.image_caption,
        "pictures": [uri for _, uri in pictures],
        "engine": engine,
        "model": model,
        "prompt_version": prompts.template_of(job.settings.prompt, job.prompt_template).version,
        "mark_style": job.settings.mark_style,
        "region_mode": job.settings.region_mode,
        "answers": [each.model_dump() for each in said],
        "usage": {
            "prompt_tokens": captioned.prompt_tokens,
            "completion_tokens": captioned.completion_tokens,
            "requests": captioned.requests,
            "gpu_ms": captioned.gpu_ms,
        },
        "finish_reason": captioned.finish_reason,
        "reused": captioned.reused,
        "edited": None,
        "meta": record.meta,
        "error": record.error.model_dump() if record.error else None,
        "schema_version": records.SCHEMA_VERSION,
    }


def with_verdicts(line: dict[str, Any], captioned: Captioned) -> dict[str, Any]:
    """A line of the results whose captions were asked back."""
    usage, record = line["usage"], captioned.record
    said = [each.model_dump() for each in captioned.answers]
    texts = [each.text for each in captioned.answers]
    changed = {"answer": "\n".join([line["answer"] or "", *texts])} if texts else {}
    return {
        **line,
        **changed,
        "regions": [region.model_dump() for region in record.regions],
        "answers": [*line.get("answers", []), *said],
        "usage": {
            **usage,
            "prompt_tokens": usage["prompt_tokens"] + captioned.prompt_tokens,
            "completion_tokens": usage["completion_tokens"] + captioned.completion_tokens,
            "requests": usage["requests"] + captioned.requests,
            "gpu_ms": usage.get("gpu_ms", 0) + captioned.gpu_ms,
        },
        "schema_version": records.SCHEMA_VERSION,
    }
