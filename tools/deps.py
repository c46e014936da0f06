"""Write the code that each stage depends on into dvc.yaml, from what its script imports.

    python -m tools.deps            # rewrite the lists
    python -m tools.deps --check    # exit with a sentence if a list would change

The code of a stage is its script and every module and template of src that it reaches. Where a
stage reaches every file of a wing, the list names the wing's folder. Only the lines of code in
`deps:` are touched; data that a stage reads is declared by hand.
"""

import argparse
import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DVC_FILES = ("data/dvc.yaml", "dvc.yaml")
CODE = re.compile(r"- (src|stages)/")
PATH_OF_TEMPLATE = re.compile(r"\S+/\S+\.jinja")
TEMPLATE = re.compile(r"""\{%-?\s*(?:include|extends|import|from)\s+["']([^"']+\.jinja)["']""")
SOURCE = re.compile(r"""source\(["']([^"']+)["']\)""")  # a file that a template shows as it stands


def main(argv: list[str] | None = None) -> None:
    check = options(__doc__, argv).check
    for file in DVC_FILES:
        settle(ROOT / file, with_code_deps((ROOT / file).read_text(), ROOT), check)


def options(about: str | None, argv: list[str] | None) -> argparse.Namespace:
    """Read the command line of a tool that writes what follows from the code, or checks it."""
    parser = argparse.ArgumentParser(description=str(about).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    return parser.parse_args(argv)


def settle(path: Path, wanted: str, check: bool) -> None:
    """Write a file that should read otherwise, or say so.

    Raises
    ------
    SystemExit
        If it should, and `check` is true.
    """
    if wanted == path.read_text():
        return
    if check:
        raise SystemExit(f"{path.relative_to(ROOT)}: is not what follows from the code; make deps")
    path.write_text(wanted)


def with_code_deps(dvc_yaml: str, root: Path) -> str:
    """Return the text of a dvc.yaml with the code in every list of deps as the stage imports it.

    Parameters
    ----------
    dvc_yaml : str
        Each stage has a `cmd` with `python -m stages.NAME` before its `deps`.
    root : Path
        Of the repository.
    """
    lines, wanted, place = [], [], ""
    for line in dvc_yaml.splitlines(keepends=True):
        if re.match(r"  \w+:", line):
            wanted = []  # a stage begins
        script = re.search(r"python -m stages\.(\w+)", line)
        if script:
            wanted = declared_code(root / "stages" / f"{script[1]}.py", root)
        if re.match(r"    \w+:", line):
            if place == "deps":
                lines += [f"      - {one}\n" for one in wanted]
            place = line.strip().rstrip(":")
        if not (place == "deps" and CODE.match(line.strip())):
            lines.append(line)
    return "".join(lines)


def declared_code(script: Path, root: Path) -> list[str]:
    """Return what a stage declares: its script, then wings it uses whole and single files."""
    reached = code_closure(script, root)
    declared = {path for path in reached if path.startswith("stages/")}
    for wing in sorted({Path(path).parent.as_posix() for path in reached} - {"stages"}):
        files = {path for path in reached if Path(path).parent.as_posix() == wing}
        whole = files == wing_files(root / wing, root)
        declared |= {wing} if whole and wing != "src" else files
    return sorted(declared)


def wing_files(wing: Path, root: Path) -> set[str]:
    """Return the modules, templates and scripts of a wing."""
    found = [*wing.rglob("*.py"), *wing.rglob("*.jinja"), *wing.rglob("*.js")]
    return {path.relative_to(root).as_posix() for path in found}


def code_closure(script: Path, root: Path) -> set[str]:
    """Return the files of the repository that a script reaches, itself among them."""
    seen, todo = set(), [script]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += imported_files(path, root)
    return {path.relative_to(root).as_posix() for path in seen}


def imported_files(path: Path, root: Path) -> set[Path]:
    """Return the modules and templates that a module or template names itself.

    Templates are named by their path in src: in a string ending in .jinja, or in an include; a
    script that a template shows by source("...").
    """
    text = path.read_text()
    if path.suffix == ".jinja":
        return {root / "src" / name for name in TEMPLATE.findall(text) + SOURCE.findall(text)}
    if path.suffix == ".js":
        return set()
    modules, templates = set(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            templates |= {node.value} if PATH_OF_TEMPLATE.fullmatch(node.value) else set()
    files = {root / (module.replace(".", "/") + ".py") for module in modules}
    found = {file for file in files if file.exists()}
    return found | {root / "src" / name for name in templates}


if __name__ == "__main__":
    main()
