"""The libcusparse case with real libraries, compiled here: a stale libnvJitLink on the path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from producer.gpu_checks import check_libraries
from regioncap.engines.cuda_libraries import clashes, prefer_wheel_libraries, wheel_library_dirs

NVJITLINK = "libnvJitLink.so.12"
CUSPARSE = "libcusparse.so.12"


def folders(tmp_path: Path, *names: str) -> list[Path]:
    made = [tmp_path / name for name in names]
    for folder in made:
        folder.mkdir(parents=True)
    return made


def test_finds_the_wheels_own(tmp_path: Path) -> None:
    libs = folders(tmp_path, "nvidia/nvjitlink/lib", "nvidia/cusparse/lib", "nvidia/x/include")
    assert wheel_library_dirs([tmp_path]) == sorted(libs[:2])


def test_another_copy_before_the_wheels_is_a_clash(tmp_path: Path) -> None:
    wheel, toolkit, other = folders(tmp_path, "wheel", "toolkit", "other")
    for folder in (wheel, toolkit, other):
        (folder / NVJITLINK).write_bytes(b"")
    (wheel / CUSPARSE).write_bytes(b"")
    (toolkit / "libcuda.so.1").write_bytes(b"")
    path = f"{tmp_path}/none::{toolkit}:{other}"
    assert clashes(path, [wheel]) == [toolkit / NVJITLINK]
    check = check_libraries(path, [wheel])
    assert check.status == "warn"
    assert str(toolkit) in check.what
    assert "LD_LIBRARY_PATH" in check.remedy


@pytest.mark.parametrize("path", ["", "{wheel}", "{link}", "{wheel}:{toolkit}", "{empty}"])
def test_the_wheels_own_first_is_no_clash(tmp_path: Path, path: str) -> None:
    wheel, toolkit, link, empty = folders(tmp_path, "wheel", "toolkit", "link", "empty")
    for folder in (wheel, toolkit):
        (folder / NVJITLINK).write_bytes(b"")
    (link / NVJITLINK).symlink_to(wheel / NVJITLINK)
    path = path.format(wheel=wheel, toolkit=toolkit, link=link, empty=empty)
    assert clashes(path, [wheel]) == []
    assert check_libraries(path, [wheel]).status == "ok"
    environ = {"LD_LIBRARY_PATH": path}
    assert prefer_wheel_libraries(environ, [wheel]) == []
    assert environ == {"LD_LIBRARY_PATH": path}


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_polluted_path_is_sidestepped(tmp_path: Path) -> None:
    wheel, toolkit = folders(tmp_path, "wheel", "toolkit")
    _compile(wheel / NVJITLINK, "int __nvJitLinkComplete_12_4(void) { return 4; }")
    _compile(toolkit / NVJITLINK, "int __nvJitLinkComplete_12_1(void) { return 1; }")
    _compile(
        wheel / CUSPARSE,
        "int __nvJitLinkComplete_12_4(void);"
        "int cusparse(void) { return __nvJitLinkComplete_12_4(); }",
        str(wheel / NVJITLINK),
        f"-Wl,-rpath,{wheel}",
        "-Wl,--enable-new-dtags",
    )
    load = f"import ctypes; print(ctypes.CDLL({str(wheel / CUSPARSE)!r}).cusparse())"
    sidestep = (
        "import os, pathlib, subprocess, sys; from regioncap.engines.cuda_libraries import *; "
        f"prefer_wheel_libraries(os.environ, [pathlib.Path({str(wheel)!r})]); "
    )
    child = f"subprocess.run([sys.executable, '-c', {load!r}], check=True)"

    broken = _python(load, toolkit)
    assert "undefined symbol: __nvJitLinkComplete_12_4" in broken.stderr
    here = _python(sidestep + load, toolkit)
    assert (here.stdout, here.stderr) == ("4\n", "")
    in_child = _python(sidestep + child, toolkit)
    assert (in_child.stdout, in_child.stderr) == ("4\n", "")


def _compile(target: Path, source: str, *arguments: str) -> None:
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-x", "none", *arguments]
    soname = f"-Wl,-soname,{target.name}"
    subprocess.run([*command, soname, "-o", target], input=source, text=True, check=True)


def _python(code: str, ld_library_path: Path) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    environ = os.environ | {"LD_LIBRARY_PATH": str(ld_library_path), "PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
