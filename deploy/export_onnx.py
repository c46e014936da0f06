"""Write the networks of a bundle as ONNX files, for programs that do not know torch.

    python -m deploy.export_onnx model.maskline.zip --out onnx

Reads  a bundle
Writes <number>_<member>.onnx  one for each network, compared with it at three sizes
           images        uint8 (batch, 3, height, width): RGB, height and width multiples of stride
           mask, ...     float32 (batch, height, width): logits and values by head; empty (batch,),
                         embedding (batch, size, height, width)
       model.json              of each file: stride, outputs, and what comes before it (resize,
                               clahe) and after (weight, merge)
`python -m deploy.apply MODEL IMAGES --runtime onnx` makes such files by itself.
"""

import argparse
from pathlib import Path

from src.base.errors import InputError
from src.base.files import new_folder
from src.bundles.reading import read_bundle
from src.exchange.export import export_networks, refuse_without_packages


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("model", type=Path, help="a bundle, NAME.maskline.zip")
    parser.add_argument("--out", required=True, type=Path, help="folder to write; must be new")
    args = parser.parse_args(argv)
    out = args.out.absolute()
    if out.exists():
        raise InputError(f"{out}: exists; give another folder")
    refuse_without_packages()
    bundle = read_bundle(args.model)
    with new_folder(out) as folder:
        files = export_networks(bundle, folder)
    size = sum((out / path.name).stat().st_size for path in files) / 1e6
    many = "network" if len(files) == 1 else "networks"
    print(f"{args.out}: {len(files)} {many}, {size:.1f} MB, and model.json")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
