import json

import numpy as np
import pytest
import torch

from src.base.errors import InputError
from src.losses.batch_loss import batch_loss
from src.training import processes
from src.training.targets import plane_names
from tests import sections
from tests.processes import run_in

HEADS = ["mask", "border", "contact", "boundary_distance", "embedding", "empty"]
PLANES = plane_names(HEADS, soft=False)
LOSSES = {
    "Dice of the batch": {"bce_weight": 0.0},
    "hardest pixels": {"ohem": 0.3, "dice_weight": 0.0},
    "weights of mean one": {"normalise_weights": True, "boundary_weight": 2.0},
    "Lovasz of the batch": {"lovasz_weight": 1.0, "lovasz_per": "batch"},
    "per image": {"overlap_per": "image", "lovasz_weight": 1.0, "jaccard_weight": 1.0},
    "heads": {f"{head}_weight": 1.0 for head in HEADS[1:]},
}


class Pixelwise(torch.nn.Module):
    """Answers for all heads, image by image: no batch norm stands between shares and whole."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.maps, self.number = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Linear(3, 1)

    def forward(self, given):
        return self.maps(given), self.number(given.mean((2, 3)))


def batch(images=5, size=12):
    """Images of which the later ones have more object; the first is ignored in part."""
    draw = np.random.default_rng(3)
    target = (draw.random((images, size, size)) < np.arange(images)[:, None, None] / images) * 1
    target[0, :5] = 255
    planes = {name: draw.integers(0, 256, target.shape) for name in PLANES}
    planes |= {"target": target, "id_low": target * draw.integers(1, 4, target.shape)}
    planes["id_high"] = 0 * target
    stacked = np.stack([planes[name] for name in PLANES], 1).astype(np.uint8)
    pixels = draw.integers(0, 256, (images, 3, size, size)).astype(np.uint8)
    numbers = np.stack([np.zeros(images), 1 + np.arange(images)], 1).astype(np.float32)
    return [torch.from_numpy(part) for part in (pixels, stacked, numbers)]


def gradients(model, of_batch, keys, **options):
    sections_of = {
        "loss": sections.section("loss", **keys),
        "params": sections.section("model", embedding_size=4, mean=[0.5] * 3, std=[0.2] * 3),
    }
    answer = processes.replica(model, sync_batch_norm=False)
    loss, logits, target = batch_loss(
        answer, of_batch, heads=HEADS, plane_names=PLANES, bf16=False, **sections_of, **options
    )
    (loss * processes.count()).backward()
    grads = [weight.grad for weight in model.parameters()]
    found = {str(i): grad for i, grad in enumerate(grads) if grad is not None}
    return found | {"loss": loss.detach(), "logits": logits.detach(), "target": target}


def of_share(folder):
    with processes.joined():
        own = processes.own_share(list(range(5)))
        share = [part[own] for part in batch()]
        for name, keys in LOSSES.items():
            found = gradients(Pixelwise(), share, keys, whole=processes.whole_batch)
            np.savez(folder / f"{name} {processes.rank()}.npz", **found)


def test_loss_and_gradients_of_shares_are_those_of_the_whole_batch(tmp_path):
    run_in(2, of_share, tmp_path)  # shares of three and of two images
    for name, keys in LOSSES.items():
        whole = gradients(Pixelwise(), batch(), keys)
        for rank in range(2):
            found = np.load(tmp_path / f"{name} {rank}.npz")
            for key in whole:
                np.testing.assert_allclose(
                    found[key], whole[key], rtol=1e-4, atol=1e-6, err_msg=f"{name}, {key}"
                )


def agree(folder):
    with processes.joined():
        rank = processes.rank()
        norm = torch.nn.BatchNorm1d(2)
        norm.running_mean += torch.tensor([rank, 10.0 * rank])
        processes.share_statistics(norm)
        torch.manual_seed(5)
        processes.draw_own_numbers()
        found = {
            "share": processes.own_share(list("abcdefgh")),
            "few": processes.own_share(["a", "b"]),
            "any": processes.any_of(rank == 1, False, True),
            "first": processes.of_first(rank + 0.1),
            "sum": processes.summed(torch.tensor([1.5, rank])).tolist(),
            "mean": norm.running_mean.tolist(),
            "counter": norm.num_batches_tracked.item(),
            "drawn": torch.rand(()).item(),
        }
        bf16 = torch.full((rank, 2), rank, dtype=torch.bfloat16)  # the first has none
        found["whole"] = processes.whole_batch(bf16).tolist()
        (folder / f"{rank}.json").write_text(json.dumps(found))


def test_three_processes_share_and_agree(tmp_path):
    run_in(3, agree, tmp_path)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(3)]
    assert [one.pop("share") for one in found] == [list("abc"), list("def"), list("gh")]
    assert [one.pop("few") for one in found] == [["a"], ["b"], []]
    drawn = [one.pop("drawn") for one in found]
    assert len(set(drawn)) == 3
    torch.manual_seed(5)
    assert drawn[0] == torch.rand(()).item()
    for one in found:
        assert one == {
            "any": [True, False, True],
            "first": 0.1,
            "sum": [4.5, 3.0],
            "mean": [1.0, 10.0],
            "counter": 0,
            "whole": [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]],
        }


def test_alone_everything_is_its_own():
    assert (processes.count(), processes.rank()) == (1, 0)
    assert processes.own_share([1, 2]) == [1, 2]
    assert processes.any_of(True, False) == [True, False]
    own = torch.zeros(2, requires_grad=True)
    assert processes.whole_batch(own) is own
    model = torch.nn.Linear(1, 1)
    assert processes.replica(model, sync_batch_norm=True) is model
    state = torch.get_rng_state()
    processes.draw_own_numbers()
    assert torch.equal(torch.get_rng_state(), state)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    words = r"starts 3 processes or more on .* with 2 GPU\(s\)"
    with pytest.raises(InputError, match=words), processes.joined():
        pass
