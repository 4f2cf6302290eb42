"""tools/board/texts.py: short texts that MicroPython does not keep, and that stay the same."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.host import mpy
from tools import toolchain
from tools.board import bytecode, names, stage, texts
from tools.board.scopes import edited
from tools.sim import launch
from tools.things import boards

RARE = """\
"docstring"


def probe(value, unit="mdeg"):
    "another"
    if value in ("mm", "kg"):
        return {"weight": value, "of": "wei" "ght"}
    return "{}: {}".format(unit,
                           "a\\
b") + "send" + "a text of more than ten bytes"
"""


def outside(text: str, present: tuple[str, ...] = ()) -> str:
    return edited(text.encode(), texts.outside(text.encode(), present)).decode()


def test_what_is_changed_and_what_is_not() -> None:
    made = outside(RARE)
    found = set(re.findall(r"\((['\"].*?['\"]),\n*\)\[0\]", made))
    assert found == {"'mdeg'", "'weight'", "'of'", "'{}: {}'", "'ab'"}
    assert made.count("\n") == RARE.count("\n")
    assert '("mm", "kg")' in made and '"docstring"' in made and '"another"' in made
    assert '"send"' in made  # MicroPython's own
    assert "mdeg" in outside(RARE, ("mdeg",)) and "('mdeg',)" not in outside(RARE, ("mdeg",))


def test_all_of_the_firmware_is_the_same_program_afterwards() -> None:
    for path, text in stage.sources(toolchain.ROOT).items():
        made = edited(text, texts.outside(text))
        assert made.count(b"\n") == text.count(b"\n"), path
        assert list(texts.interned(made)) == [], path
        folded = ast.unparse(_Folded().visit(ast.parse(made)))
        assert folded == ast.unparse(ast.parse(text)), path


class _Folded(ast.NodeTransformer):
    """("x",)[0] -> "x"."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Subscript(value=ast.Tuple(elts=[ast.Constant(value=str())]), slice=at):
                if isinstance(at, ast.Constant) and at.value == 0 and len(node.value.elts) == 1:
                    return node.value.elts[0]
        return node


def test_micropython_interns_none_of_them(tmp_path: Path) -> None:
    words = [f"tx{n:03}" for n in range(50)]
    code = f"def all():\n    return {' + '.join(map(repr, words))}\n"
    counts = {}
    for name, text in (("kept", code), ("outside", outside(code))):
        made = bytecode.compile_all({f"firmware/{name}.py": text.encode()})
        (tmp_path / f"{name}.mpy").write_bytes(made[f"firmware/{name}.mpy"])
        look = f"import micropython\nmicropython.qstr_info()\nimport {name}\nprint({name}.all())\n"
        ran = subprocess.run(
            [*toolchain.micropython(64), "-c", look + "micropython.qstr_info()"],
            cwd=tmp_path, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert "".join(words) in ran.stdout, ran.stderr
        before, after = map(int, re.findall(r"n_qstr=(\d+)", ran.stdout))
        counts[name] = after - before
    assert counts["kept"] >= len(words)
    assert counts["outside"] <= counts["kept"] - len(words)


def test_what_is_constant_to_micropython_stays_one() -> None:
    text = "_X = const(3)\nY = 4\nA = (('mdeg', -1), 'unit', 1 << 2, _X)\nB = ('mdeg', Y)\n"
    assert outside(text) == text.replace("('mdeg', Y)", "(('mdeg',)[0], Y)")


# Modules, which every board has (esp32: not an ESP8266, one name), and the compiler's own.
_LENT = """
<genexpr> <lambda> <listcomp> __import__ binascii esp32 gc json machine network os tls
do_handshake_on_connect
"""


def test_the_simulated_hardware_lends_the_firmware_no_name() -> None:
    files = stage.sources(toolchain.ROOT)
    for board in launch.PROFILES:
        flat = boards.get(board).flat
        ours = bytecode.compile_all(files, boards.table()["together"], flat)
        shims, chips, _ = launch.built_in(board, toolchain.umqtt_dir())
        hardware = [path.read_bytes() for top in (shims, chips) for path in top.rglob("*.mpy")]
        both = _names(data for path, data in ours.items() if path.endswith(".mpy"))
        both &= _names(hardware)
        assert both - names.BUILT_IN <= set(_LENT.split())


def _names(files: Iterable[bytes]) -> set[str]:
    return {name for data in files for name in mpy.names(data)}


def test_no_name_of_the_unix_port_is_taken_from_the_simulated_hardware() -> None:
    # It would be missing only when that line runs.
    paths = [*launch.SHIMS.glob("*.py"), *launch.CHIPS.glob("*.py")]
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    kept = launch.PRESENT | {path.stem for path in paths}
    made = {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    made |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    made |= {
        n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
    }
    for node in nodes:
        match node:
            case ast.Attribute(attr=name):
                assert name in kept | made, ast.unparse(node)
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=name), *_]):
                assert name in kept, ast.unparse(node)
            case ast.Call(func=ast.Name(id="hasattr"), args=[_, ast.Constant(value=name)]):
                assert name in kept, ast.unparse(node)
