"""Programs that use RegionCap: the clients, and the reference's pipeline."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap import AsyncClient, Client, ImageRegionCaptionPipeline
from regioncap.errors import NotFoundError, UsageError
from regioncap.settings import load_settings
from tests.support.chat_server import Behaviour, serve_chat
from tests.support.system import System, read_jsonl, write_jsonl

REFERENCE_FIELDS = [
    "image", "type", "bbox", "normalized_bbox", "result_file", "image_with_bbox",
    "valid_bboxes_num", "prompt", "answer",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 48), (200, 30, 30)).save(tmp_path / "red.png")
    return tmp_path


def test_client(system: System, folder: Path) -> None:
    client = Client(load_settings(**system.stack.settings()))
    records: list[dict[str, Any]] = [
        {"image": "red.png", "bbox": [[1, 2, 30, 40]], "shop": 7},
        {"image": "gone.png"},
    ]
    seen: list[str] = []

    with pytest.warns(UserWarning, match=r"gone\.png"):
        job = client.submit(records, image_root=folder, name="n", labels={"a": "b"}, shard_size=1)
    status = client.wait(job, timeout_s=60, on_progress=lambda status: seen.append(status.state))
    results = list(client.results(job))

    assert (status.state, status.records, status.failed, status.shards) == ("done", 2, 1, 2)
    assert (status.name, status.labels) == ("n", {"a": "b"})
    assert seen[-1] == "done"
    assert [record["image"] for record in results] == ["red.png", "gone.png"]
    assert results[0]["meta"] == {"shop": 7}
    assert "red" in results[0]["regions"][0]["caption"]


def test_client_takes_a_file(system: System, folder: Path) -> None:
    client = Client(load_settings(**system.stack.settings()))
    job = client.submit(write_jsonl(folder / "in.jsonl", [{"image": "red.png"}]))

    assert client.wait(job, timeout_s=60).failed == 0


def test_wait_that_times_out_leaves_the_job_running(system: System, folder: Path) -> None:
    client = Client(load_settings(**system.stack.settings()))
    nobody = client.submit([{"image": "red.png"}], image_root=folder, queue="caption.nobody")

    with pytest.raises(TimeoutError):
        client.wait(nobody, timeout_s=0)
    assert client.status(nobody).state != "cancelled"


def test_client_knows_no_other_job(system: System) -> None:
    with pytest.raises(NotFoundError):
        Client(load_settings(**system.stack.settings())).status("20200101-000000-aaaaaa")


def test_async_client(system: System, folder: Path) -> None:
    async def work() -> list[dict[str, Any]]:
        client = AsyncClient(load_settings(**system.stack.settings()))
        jobs = await asyncio.gather(
            *(client.submit([{"image": "red.png"}], image_root=folder) for _ in range(2))
        )
        statuses = await asyncio.gather(*(client.wait(job, timeout_s=60) for job in jobs))
        assert [status.state for status in statuses] == ["done", "done"]
        assert (await client.wait(jobs[0], timeout_s=0)).state == "done"
        nobody = await client.submit(
            [{"image": "red.png"}], image_root=folder, queue="caption.nobody"
        )
        with pytest.raises(TimeoutError, match="still runs after 0 s"):
            await client.wait(nobody, timeout_s=0)
        return [record for job in jobs async for record in client.results(job)]

    found = asyncio.run(work())

    assert [record["error"] for record in found] == [None, None]


def test_pipeline_has_the_arguments_of_the_reference() -> None:
    parameters = inspect.signature(ImageRegionCaptionPipeline).parameters
    positional = {
        name: each.default
        for name, each in parameters.items()
        if each.kind is each.POSITIONAL_OR_KEYWORD
    }

    assert positional == {
        "model_path": "Qwen/Qwen2.5-VL-3B-Instruct",
        "hf_cache_dir": "~/.cache/huggingface",
        "download_dir": "../ckpt/models/Qwen2.5-VL-3B-Instruct",
        "first_entry_file": "../example_data/image_region_caption/image_region_caption_demo.jsonl",
        "cache_path": "../cache/image_region_caption",
        "file_name_prefix": "region_caption",
        "cache_type": "jsonl",
        "input_image_key": "image",
        "input_bbox_key": "bbox",
        "max_boxes": 10,
        "output_image_with_bbox_path": (
            "../cache/image_region_caption/image_with_bbox_result.jsonl"
        ),
    }


def reach(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the settings of this process name the system."""
    for name, value in system.stack.settings().items():
        monkeypatch.setenv(f"REGIONCAP_{name.upper()}", value)


def pipeline(folder: Path, **options: Any) -> ImageRegionCaptionPipeline:
    return ImageRegionCaptionPipeline(
        first_entry_file=str(folder / "in.jsonl"),
        cache_path=str(folder / "cache"),
        output_image_with_bbox_path=str(folder / "boxes" / "boxes.jsonl"),
        **{"engine": "baseline"} | options,
    )


def test_pipeline_says_before_the_work_that_a_file_cannot_be_written(folder: Path) -> None:
    write_jsonl(folder / "in.jsonl", [{"image": str(folder / "red.png")}])
    (folder / "cache").write_text("a file")

    with pytest.raises(UsageError, match=r"cache cannot be written: ") as caught:
        pipeline(folder).forward()
    assert caught.value.code == "bad-output"


def test_pipeline_leaves_the_files_of_the_reference(
    system: System,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reach(system, monkeypatch)
    boxes = [[1, 2, 30, 40], [5, 5, 20, 20], [0, 0, 9, 9]]
    image = str(folder / "red.png")
    lines: list[dict[str, Any]] = [
        {"picture": image, "rois": boxes, "bbox": "mine"},
        {"picture": "gone.png"},
    ]
    write_jsonl(folder / "in.jsonl", lines)

    result = pipeline(
        folder, input_image_key="picture", input_bbox_key="rois", max_boxes=2
    ).forward()

    assert result.result_file == folder / "cache" / "region_caption_step1.jsonl"
    first, failed = read_jsonl(result.result_file)
    assert list(first)[:9] == REFERENCE_FIELDS
    assert (first["image"], first["bbox"], first["meta"]) == (image, boxes, {"bbox": "mine"})
    assert first["result_file"] == str(folder / "cache")
    assert first["image_with_bbox"] == str(folder / "cache" / "1_bbox_vis.jpg")
    assert Path(first["image_with_bbox"]).read_bytes().startswith(b"\xff\xd8")
    assert (first["valid_bboxes_num"], len(first["normalized_bbox"])) == (2, 2)
    assert first["prompt"].endswith("There are 2 regions: <region1> to <region2>.")
    assert [region["status"] for region in first["regions"]] == ["ok", "ok", "skipped"]
    assert (failed["error"]["code"], failed["answer"]) == ("image-missing", None)
    [before] = read_jsonl(folder / "boxes" / "boxes.jsonl")
    assert before == {name: first[name] for name in REFERENCE_FIELDS[:-1]}
    assert (result.records, result.failed, result.regions_ok) == (2, 1, 2)
    assert [record["index"] for record in result] == [0, 1]
    assert "2 records, 1 failed" in capsys.readouterr().err
    assert "starting a stack" not in capsys.readouterr().err


def test_pipeline_passes_by_workers_with_another_engine_than_it_insists_on(
    system: System,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reach(system, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    write_jsonl(folder / "in.jsonl", [{"image": str(folder / "red.png")}])

    with serve_chat(does := Behaviour(says="a red thing")) as url:
        monkeypatch.setenv("REGIONCAP_OPENAI_BASE_URL", url)
        with pipeline(folder, engine="openai", model_path="tiny") as pipe:
            [record] = pipe.forward()

    assert record["answer"] == "a red thing"
    assert does.bodies
    assert "starting a stack with the openai engine" in capsys.readouterr().err


def test_pipeline_starts_a_stack_of_its_own_and_keeps_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    write_jsonl(folder / "in.jsonl", [{"image": "red.png"}])

    with pipeline(folder, file_name_prefix="mine") as pipe:
        first = pipe.forward()
        second = pipe.forward()

    assert (first.failed, second.failed) == (0, 0)
    assert second.result_file.name == "mine_step1.jsonl"
    assert capsys.readouterr().err.count("starting a stack") == 1


def test_pipeline_refuses_what_it_cannot_write_or_read(folder: Path) -> None:
    with pytest.raises(UsageError, match="cache_type 'csv'"):
        pipeline(folder, cache_type="csv")
    with pytest.raises(UsageError, match="cannot be read"):
        pipeline(folder).forward()
