"""A data set in a layout that its files tell, as prepare_masks reads it."""

from pathlib import Path

from ruamel.yaml import YAML

from src.reading.datasets import find_records
from src.reading.params import DatasetParams
from src.reading.recognition import recognise, with_category

PARAMS = YAML(typ="safe").load((Path(__file__).parents[1] / "params.yaml").read_text())


def found(root, **changes):
    """Find the records, by params.yaml with changes; return them and the values recognised."""
    source = DatasetParams.model_validate(PARAMS["dataset"] | changes)
    source, choices = recognise(root, source)
    dataset = find_records(root, source)
    chosen = choices + with_category(source, dataset)[1]
    return dataset, {choice.key.removeprefix("dataset."): choice.value for choice in chosen}
