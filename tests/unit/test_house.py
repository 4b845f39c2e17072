"""The house style in numbers: what is counted, and the limits that this tree keeps."""

from __future__ import annotations

import ast

from tools import house


def test_limits_hold() -> None:
    ours = house.figures()

    assert ours.module_median <= 120
    assert ours.module_max <= 500
    assert ours.function_median <= 12
    assert ours.documented >= 0.9
    assert ours.annotated == 1


def test_public_functions_are_those_for_others() -> None:
    tree = ast.parse(
        "def a():\n  def inner(): ...\n"
        "def _b(): ...\n"
        "class C:\n  def d(self): ...\n  def _e(self): ...\n"
        "class _F:\n  def g(self): ...\n"
    )

    assert [each.name for each in house.public_functions(tree)] == ["a", "d"]


def test_every_tree_is_a_row() -> None:
    head, rule, *rows = house.table(house.OTHERS).splitlines()

    assert len(rows) == len(house.OTHERS)
    assert {line.count("|") for line in (head, rule, *rows)} == {12}
