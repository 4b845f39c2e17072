"""Inputs as people have them: made in a folder, and read as `validate` reads them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from regioncap.inputs.judgement import check_reading
from regioncap.inputs.report import describe
from regioncap.inputs.source import Source, open_source
from regioncap.inputs.totals import Totals
from regioncap.inputs.validate import Checker
from regioncap.records import InputRecord
from regioncap.settings import Settings, load_settings

SIZE = (120, 80)


def picture(path: Path, size: tuple[int, int] = SIZE, colour: str = "red", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


class Read:
    """An input, read and checked whole."""

    def __init__(self, path: Path, root: Path | None = None, **flags: Any) -> None:
        deep = bool(flags.pop("deep", False))
        settings: Settings = load_settings(**flags)
        self.totals, self.records = Totals(), list[InputRecord]()
        with open_source(str(path), io.BytesIO(), root, settings) as source:
            checker = Checker(settings, source.root, source.name, source.image_root, deep=deep)
            for record in source.records:
                self.records.append(record)
                self.totals.add(checker.check(record))
        self.source: Source = source
        check_reading(source, settings)
        self.lines = describe(self.totals, source.reading, settings)

    @property
    def boxes(self) -> list[Any]:
        return [record.bbox for record in self.records]

    @property
    def codes(self) -> set[str]:
        return set(self.totals.problems)
