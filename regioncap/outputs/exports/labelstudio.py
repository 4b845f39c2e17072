"""Label Studio: tasks to import, with boxes and a text field per region, and the labelling config.

    tasks.json              one task per picture; the captions are predictions, ready to correct
    labelling-config.xml    to paste into the project's settings

A picture that browsers do not show, as TIFF, lies in its task as a smaller JPEG. Boxes are percent
of the picture's sides. Results of one region (its box and its text) share an id, and the id
survives annotation, which is how corrected captions find their way back (`regioncap import-edits`).
Format: https://labelstud.io/guide/predictions
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from regioncap.outputs.exports.base import (
    About,
    Item,
    Pictures,
    attributes_json,
    compact_json,
    own_of,
)
from regioncap.outputs.pages import data_url
from regioncap.views.pixels import decode, encode_jpeg

#: The id under which Label Studio keeps a region's box and text.
REGION_ID = "region-{}"

#: Longest side of a picture in a task, pixels.
_COPY_SIDE = 1_600

_CONFIG = """\
<View>
  <!-- Boxes in tasks.json: x, y, width and height in percent of the picture's sides. -->
  <Image name="image" value="$image" zoom="true"/>
  <RectangleLabels name="label" toName="image">
    <Label value="region"/>
  </RectangleLabels>
  <TextArea name="caption" toName="image" perRegion="true" editable="true" required="true"
            maxSubmissions="1" rows="3" displayMode="region-list"/>
  <!-- Of the whole picture; to read, as it does not come back with corrected captions. -->
  <TextArea name="image_caption" toName="image" editable="false" maxSubmissions="1" rows="3"/>
</View>
"""


class LabelStudio:
    """Every record whose picture could be read, those without captions too: someone writes them."""

    name = "labelstudio"
    makes_folder = True
    pictures: Pictures = "unshown"
    packages: tuple[str, ...] = ()

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Fills a folder; see `Format.write`."""
        (path / "labelling-config.xml").write_text(_CONFIG, encoding="utf-8")
        with (path / "tasks.json").open("w", encoding="utf-8") as file:
            between = "[\n"
            for item in items:
                if item.source is not None and item.record["width"]:
                    file.write(between + compact_json(_task(item, about)))
                    between = ",\n"
            file.write("\n]\n" if between != "[\n" else "[]\n")


def _task(item: Item, about: About) -> dict[str, Any]:
    record = item.record
    result = [
        part for region in record["regions"] if region["bbox"] for part in _results(record, region)
    ]
    if caption := record.get("image_caption"):
        result.append(
            {
                "id": "image-caption",
                "type": "textarea",
                "from_name": "image_caption",
                "to_name": "image",
                "value": {"text": [caption]},
            }
        )
    return {
        "data": {
            "image": _shown(item),
            "regioncap_job": about.job,
            "regioncap_index": record["index"],
            "name": record["image"],
        },
        "predictions": [{"model_version": record["model"], "result": result}],
    }


def _shown(item: Item) -> str | None:
    """The address of the picture; the picture itself where its format is not shown."""
    if item.picture is None:
        return item.source
    data = item.picture.data
    # How large it may be was seen to as it was brought.
    picture = decode(
        data, max_bytes=len(data), max_pixels=sys.maxsize, budget_pixels=_COPY_SIDE**2
    ).image
    picture.thumbnail((_COPY_SIDE, _COPY_SIDE))
    return data_url(encode_jpeg(picture, quality=90))


def _results(record: Mapping[str, Any], region: Mapping[str, Any]) -> list[dict[str, Any]]:
    width, height = record["width"], record["height"]
    x, y, w, h = region["bbox"]
    place = {
        "x": 100 * x / width,
        "y": 100 * y / height,
        "width": 100 * w / width,
        "height": 100 * h / height,
        "rotation": 0,
    }
    shared = {
        "id": REGION_ID.format(region["region"]),
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    box = {
        **shared,
        "type": "rectanglelabels",
        "from_name": "label",
        "value": {**place, "rectanglelabels": ["region"]},
    }
    # Notes are shown beside the region.
    notes = [label] if (label := own_of(record, region).label) is not None else []
    if (said := attributes_json(region)) is not None:
        notes.append(said)
    if region.get("verified") is False:
        notes.append(f"verified as {region['verified_as'] or 'none'}")
    if notes:
        box["meta"] = {"text": notes}
    if region["caption"] is None:
        return [box]
    text = {
        **shared,
        "type": "textarea",
        "from_name": "caption",
        "value": {**place, "text": [region["caption"]]},
    }
    return [box, text]
