"""Run a stage and edit a file as soon as it begins to write its output.

    python -m tests.edited_while_running params.yaml "seed: 0" "seed: 1" stages.make_sample ...

Without a text to look for, the new one is put at the end of the file.
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    file, old, new, module, *arguments = sys.argv[1:]
    edited = []

    def hook(event: str, args: tuple) -> None:
        if event in ("open", "os.mkdir") and ".partial" in str(args[0]) and not edited:
            edited.append(file)
            text = Path(file).read_text()
            assert old in text
            Path(file).write_text(text.replace(old, new, 1) if old else text + new)

    sys.addaudithook(hook)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert edited


if __name__ == "__main__":
    main()
