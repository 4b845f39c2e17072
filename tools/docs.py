"""Writes the pages that follow from the code: `python -m tools.docs` (`--check` only compares).

docs/cli.md       every command and option, from the command tree
docs/errors.md    every error code, from the places in the code where errors are made
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.text import Text

from regioncap import errors

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("regioncap", "workers", "producer")

#: The same for every program, and told of in the introduction.
_LEFT_OUT = {"help", "install_completion", "show_completion"}

_HEAD = "<!-- Made by `python -m tools.docs`; do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """The generated pages by path."""
    return {"docs/cli.md": _HEAD + cli_page(), "docs/errors.md": _HEAD + errors_page()}


# --- docs/cli.md


def cli_page() -> str:
    """Every command with its arguments and options."""
    from producer.cli import whole_command

    root = whole_command()
    return _CLI_INTRO + "\n".join(_command(root, "regioncap")).rstrip() + "\n"


_CLI_INTRO = """\
# The command

Data goes to stdout, all that is said to people to stderr. Without a terminal there are no bars and
no colours; `NO_COLOR` turns colours off on one too. Exit codes stand in [errors](errors.md).
`regioncap --install-completion` teaches your shell to complete the command. Global options stand
before the command: `regioncap --debug submit my.jsonl`. A value in brackets is the default.

"""


def _command(command: Any, name: str) -> Iterator[str]:
    parameters = [p for p in command.params if p.name not in _LEFT_OUT]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name == "option"]
    usage = " ".join([name, *(f"{_metavar(p)}" for p in arguments)])
    yield f"## `{usage}`\n\n{_plain(command.help)}\n"
    rows = [(f"`{_metavar(p)}`", _plain(p.help)) for p in arguments]
    rows += [(_option(p), _plain(p.help)) for p in options]
    if rows:
        yield "| | |\n| --- | --- |"
        yield "\n".join(f"| {_cell(left)} | {_cell(right)} |" for left, right in rows) + "\n"
    for child in getattr(command, "commands", {}).values():
        yield from _command(child, f"{name} {child.name}")


def _plain(text: str) -> str:
    """A text of help as a terminal shows it: it is kept as Rich's markup."""
    return Text.from_markup(text).plain


def _metavar(parameter: Any) -> str:
    text = (parameter.metavar or parameter.name.upper()).strip("[]")
    text += "..." if parameter.nargs == -1 else ""
    return text if parameter.required else f"[{text}]"


def _option(option: Any) -> str:
    named = [*option.opts, *option.secondary_opts]
    names = ", ".join(f"`{name}`" for name in named if name.strip())
    if option.is_flag:
        return names
    value = option.metavar
    default = option.default
    shown = "" if default in {None, ""} or callable(default) else f" [{default}]"
    return f"{names} {value}{shown}"


# --- docs/errors.md


@dataclass
class Entry:
    """One error code, as it is used all over the code."""

    exit_code: int
    messages: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def errors_page() -> str:
    """Every error code with what it says and what to do."""
    rows = [
        f"| `{code}` | {entry.exit_code} | {_cells(entry.messages)} | {_cells(entry.hints)} |"
        for code, entry in sorted(collect_errors().items())
    ]
    return "\n".join([_ERRORS_INTRO, *rows, ""])


_ERRORS_INTRO = """\
# Errors

An error names what went wrong, its code in brackets, and what to do. Codes are stable: they stand
in the output of `regioncap validate`, in the `error` of a result and in logs. `…` stands for the
value at hand.

| exit code | meaning |
| --- | --- |
| 0 | fine |
| 1 | unexpected: a bug, or the engine failed |
| 2 | the command line, the settings or the input cannot be used as they are |
| 3 | the job finished, with failed records |
| 4 | Redis, the store or the engine's server cannot be reached |
| 5 | timed out; the job is still running |
| 6 | no such job |
| 7 | the job was cancelled |
| 8 | `eval --fail-on-regression`: fewer captions are right than before |
| 9 | paused: the job's limit of GPU time is reached |
| 130 | ended by Ctrl-C |
| 141 | the reader of stdout has gone, as in `\\| head` |

Codes with exit code 3 belong to single records: the others go on.

| code | exit | says | what to do |
| --- | --- | --- | --- |"""


def collect_errors() -> dict[str, Entry]:
    """Every code that the source names, with its messages and hints."""
    found: dict[str, Entry] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            _collect(ast.parse(path.read_text("utf-8")), found)
    return found


def _collect(tree: ast.Module, found: dict[str, Entry]) -> None:
    names = _constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            code = _class_code(node)
            if code:
                docstring = (ast.get_docstring(node) or "").splitlines()[0]
                found.setdefault(code, Entry(_exit_code(node.name))).messages.append(docstring)
        elif isinstance(node, ast.Call):
            _collect_call(node, names, found)


def _collect_call(node: ast.Call, names: dict[str, ast.expr], found: dict[str, Entry]) -> None:
    maker = node.func.id if isinstance(node.func, ast.Name) else ""
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    arguments = list(node.args)
    if maker == "bad" and len(arguments) == 3:  # a line that becomes an error record
        given |= {"code": arguments[1], "message": arguments[2]}
    if maker == "_bad_box":
        given |= {"code": ast.Constant("bad-box"), "message": arguments[0], "hint": arguments[1]}
    if not maker:  # a method's `code` is a metric's label
        return
    if arguments:
        given.setdefault("message", arguments[0])
    _collect_error(maker, given, names, found)


def _collect_error(
    maker: str,
    given: dict[str | None, ast.expr],
    names: dict[str, ast.expr],
    found: dict[str, Entry],
) -> None:
    code = given.get("code")
    if isinstance(code, ast.IfExp):
        for holds in (True, False):
            branch = {name: _branch(part, code.test, holds=holds) for name, part in given.items()}
            _collect_error(maker, branch, names, found)
    if not isinstance(code, ast.Constant) or not isinstance(code.value, str):
        return
    entry = found.setdefault(code.value, Entry(_exit_code(maker)))
    for texts, name in ((entry.messages, "message"), (entry.hints, "hint")):
        text = _text(given.get(name), names).strip()
        if text.strip("… ") and text not in texts:
            texts.append(text)


def _branch(node: ast.expr, test: ast.expr, *, holds: bool) -> ast.expr:
    """What an expression is where a test holds, or where it does not."""
    if isinstance(node, ast.IfExp) and ast.dump(node.test) == ast.dump(test):
        return node.body if holds else node.orelse
    return node


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _class_code(node: ast.ClassDef) -> str:
    for statement in node.body:
        target = getattr(statement, "target", None) or getattr(statement, "targets", [None])[0]
        value = getattr(statement, "value", None)
        if isinstance(target, ast.Name) and target.id == "code" and isinstance(value, ast.Constant):
            return str(value.value)
    return ""


def _exit_code(maker: str) -> int:
    kind = getattr(errors, maker, errors.RecordError)
    return int(getattr(kind, "exit_code", errors.RecordError.exit_code))


def _text(node: ast.expr | None, names: dict[str, ast.expr]) -> str:
    """What an expression says, with `…` where its values stand."""
    match node:
        case ast.Constant(value=str(text)):
            said = text
        case ast.JoinedStr(values=parts):
            said = "".join(_text(part, names) for part in parts)
        case ast.BinOp(left=left, right=right):
            said = _text(left, names) + _text(right, names)
        case ast.IfExp(body=body, orelse=orelse):
            said = " / ".join(filter(None, (_text(body, names), _text(orelse, names))))
        case ast.Name(id=name) if name in names:
            said = _text(names[name], {})
        case ast.FormattedValue(value=ast.Call() as call) | (ast.Call() as call) if (
            getattr(call.func, "id", "") == "install_line"
        ):  # as it is in a checkout
            said = f"pip install -e '.[{_text(call.args[0], names)}]'"
        case _:
            said = "" if node is None else "…"
    return said


def _cells(texts: Iterable[str]) -> str:
    return "<br>".join(map(_cell, texts))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Writes the pages, or with `--check` says which are not as they should be."""
    stale = []
    for name, text in pages().items():
        path = ROOT / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in arguments:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, "utf-8")
    for name in stale:
        print(f"{name}: {'stale' if '--check' in arguments else 'written'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
