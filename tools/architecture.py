"""Draw the wings of src into docs/architecture.md, from what stages and modules import.

    python -m tools.architecture            # write the table and the drawing
    python -m tools.architecture --check    # exit with a sentence if they would change

What a wing is for stands here, in `PURPOSES`; everything else comes from the code.
"""

from pathlib import Path

from tools.deps import ROOT, code_closure, imported_files, options, settle, wing_files

PAGE = ROOT / "docs/architecture.md"
BELOW_ALL = ("base", "formats")  # nearly all wings import them, so that the drawing leaves them out
READS_ALL = "check_params"  # reaches the params of every wing, so that the table leaves it out
PURPOSES = {
    "acceptance": "from which score a detection counts as an object",
    "analysis": "what is missed or wrong, by its cause, and what mending it would gain",
    "applying": "from an image to its objects by a bundle, as the stages do it",
    "base": "errors in a sentence, files written whole, params read strictly",
    "bundles": "all that finds objects in one file, written and read strictly",
    "candidates": "objects at several thresholds, and what is measured of each",
    "data_pages": "the page about the data set",
    "delivering": "images and scenes from files to files of their objects (deploy)",
    "dividing": "which group goes into which fold",
    "duplicates": "near-duplicates and ground in common, joined to groups",
    "exchange": "networks as ONNX files, and run from them (deploy)",
    "exporting": "objects as submissions, label maps, GIS, COCO and tables",
    "folds": "the table of folds as all later stages read it",
    "formats": "archives, tables and the prepared data set, as stages share them",
    "image_files": "headers, GeoTIFF, places on the map",
    "label_errors": "where labels and out-of-fold predictions disagree",
    "label_maps": "label maps, and distances and sizes measured in them",
    "judging": "COCO and object metrics, intervals over groups",
    "likeness": "whether two splits look alike",
    "losses": "the loss of masks and heads, and the weights of pixels",
    "maps": "the folder of probability maps, and the rules by which maps are merged",
    "matching": "objects and detections matched as COCO does, and average precision",
    "merging": "which networks are merged: members, soups, students",
    "mosaics": "objects of images that lie side by side, as runs of pixels, each once",
    "networks": "encoder, decoder, heads, and what they are fed with",
    "objects": "from probability maps to objects",
    "outlines": "objects as valid polygons",
    "parallel": "work on one image after the other, over processes or machines",
    "parts": "which out-of-fold images learn from which others",
    "pages": "HTML pages in one file",
    "planning": "what the training images show, and the values chosen by it",
    "predicting": "probability maps by views, scales and windows",
    "preparing": "images and label maps, checked and stored",
    "pseudo_labelling": "labels from sure predictions",
    "reading": "data sets of any layout, without holding them",
    "reporting": "figures and tables of the report",
    "sample": "the drawn data set",
    "scenes": "images of any size by windows, and their objects by blocks, each once (deploy)",
    "scoring": "the score of a candidate, and which of the overlapping stays",
    "searching": "values of post-processing chosen out-of-fold",
    "training": "crops, augmentation, regimes, the loop",
}


def main(argv: list[str] | None = None) -> None:
    check = options(__doc__, argv).check
    settle(PAGE, with_wings(PAGE.read_text(), ROOT, PURPOSES), check)


def with_wings(page: str, root: Path, purposes: dict[str, str]) -> str:
    """Return the text of the page with the parts between its markers as the code is.

    Parameters
    ----------
    page : str
        Has a part between `<!-- table -->` and one between `<!-- drawing -->`, each up to
        `<!-- end -->`.
    root : Path
        Of the repository.
    purposes : dict of str to str
        What each wing is for.

    Raises
    ------
    SystemExit
        If a wing has no purpose, a purpose no wing, or a marker is not there.
    """
    wings = {path.name for path in (root / "src").iterdir() if wing_files(path, root)}
    if wings != purposes.keys():
        name = min(wings ^ purposes.keys())
        raise SystemExit(f"tools/architecture.py: correct PURPOSES, which disagrees on '{name}'")
    page = _filled(page, "table", _table(root, purposes))
    return _filled(page, "drawing", _drawing(root, wings))


def _filled(page: str, marker: str, lines: list[str]) -> str:
    begin, end = f"<!-- {marker} -->\n", "<!-- end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"docs/architecture.md: needs {begin.strip()} and {end} behind it")
    return before + begin + "\n".join([*lines, end]) + after


def wing_users(root: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Return, for each wing, the stage scripts that use all of it, and those that use a part."""
    users = {}
    for name in _scripts(root):
        reached = code_closure(root / "stages" / f"{name}.py", root)
        for wing in {Path(path).parts[1] for path in reached if path.startswith("src/")}:
            whole = wing_files(root / "src" / wing, root) <= reached
            users.setdefault(wing, ([], []))[0 if whole else 1].append(name)
    return users


def wing_needs(root: Path) -> dict[str, set[str]]:
    """Return, for each wing, the others that its modules import."""
    needs = {}
    for wing in sorted(path for path in (root / "src").iterdir() if path.is_dir()):
        files = wing_files(wing, root)
        used = {path for file in files for path in imported_files(root / file, root)}
        needs[wing.name] = {path.relative_to(root / "src").parts[0] for path in used} - {wing.name}
    return needs


def _table(root: Path, purposes: dict[str, str]) -> list[str]:
    users, scripts = wing_users(root), _scripts(root)
    lines = [
        "| wing | what it is for | stages that use all of it | or a part |",
        "|---|---|---|---|",
    ]
    for wing, purpose in sorted(purposes.items()):
        cells = [_listed(names, scripts) for names in users.get(wing, ([], []))]
        lines.append(f"| `{wing}` | {purpose} | {' | '.join(cells)} |")
    return lines


def _scripts(root: Path) -> list[str]:
    return sorted({path.stem for path in (root / "stages").glob("*.py")} - {READS_ALL})


def _listed(names: list[str], scripts: list[str]) -> str:
    """List stages, or those that are not there, whichever is shorter."""
    others = [f"`{name}`" for name in scripts if name not in names]
    if len(others) > len(names):
        return ", ".join(f"`{name}`" for name in names)
    return f"all but {', '.join(others)}" if others else "every one"


def _drawing(root: Path, wings: set[str]) -> list[str]:
    """Draw an arrow from a wing to each that it imports, but not where others lead there."""
    needs = {wing: used - {*BELOW_ALL} for wing, used in wing_needs(root).items()}
    lines = ["```mermaid", "flowchart LR"]
    for wing in sorted(wings - {*BELOW_ALL}):
        further = set().union(*(_reached(needs, used) for used in needs[wing]))
        direct = sorted(needs[wing] - further)
        lines += [f"\t{wing} --> {used}" for used in direct] or [f"\t{wing}"]
    return [*lines, "```"]


def _reached(needs: dict[str, set[str]], wing: str) -> set[str]:
    return needs[wing].union(*(_reached(needs, used) for used in needs[wing]))


if __name__ == "__main__":
    main()
