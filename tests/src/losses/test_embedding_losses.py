import math

import numpy as np
import pytest
import torch

from src.losses.embedding_losses import embedding_loss
from src.networks.heads import EMBEDDING_KINDS


def loss(embedding, instances, kind):
    embedding = torch.as_tensor(embedding, dtype=torch.float32)
    return embedding_loss(embedding, torch.as_tensor(instances), kind=kind).item()


def batch(seed=0):
    """Draw five crops: of three, four, one and no objects, and one that is ignored."""
    rng = np.random.default_rng(seed)
    instances = np.zeros((5, 4, 6), np.int64)
    instances[0] = rng.choice([0, 3, 7, 300, 65535], (4, 6))
    instances[1] = rng.choice([0, 1, 2, 65534], (4, 6))
    instances[1, 3, 5] = 9  # one pixel: no second half
    instances[2, 1:3, 2:5] = 4
    instances[4] = 65535
    return rng.normal(0, 1.5, (5, 3, 4, 6)), instances


def hinge(x):
    return max(x, 0.0)


def length(x):
    return math.sqrt((x**2).sum())


def mean(values):
    return sum(values) / len(values) if values else 0.0


def slow_discriminative(embedding, instances):
    images = []
    for e, labels in zip(embedding, instances, strict=True):
        ids = [i for i in np.unique(labels) if i not in (0, 65535)]
        pixels = [e[:, labels == i].T for i in ids]
        means = [p.mean(0) for p in pixels]
        pull = [
            mean([hinge(length(x - m) - 0.5) ** 2 for x in p])
            for p, m in zip(pixels, means, strict=True)
        ]
        push = [
            hinge(3 - length(a - b)) ** 2
            for i, a in enumerate(means)
            for j, b in enumerate(means)
            if i != j
        ]
        if ids:
            images.append(mean(pull) + mean(push) + 0.001 * mean([length(m) for m in means]))
    return mean(images)


def halves(e, labels):
    """Return the two unit vectors of every object that has both."""
    rows, columns = np.indices(labels.shape)
    pairs = []
    for i in np.unique(labels):
        both = [(labels == i) & ((rows + columns) % 2 == colour) for colour in (0, 1)]
        if i not in (0, 65535) and both[0].any() and both[1].any():
            pooled = [e[:, half].mean(1) for half in both]
            pairs.append([p / length(p) for p in pooled])
    return pairs


def slow_views(embedding, instances, kind):
    images, pulls = [], []
    for e, labels in zip(embedding, instances, strict=True):
        pairs = halves(e, labels)
        if not pairs:
            continue
        others = [[b for j, (_, b) in enumerate(pairs) if j != i] for i, _ in enumerate(pairs)]
        near = [length(a - b) for a, b in pairs]
        far = [[length(a - n) for n in rest] for (a, _), rest in zip(pairs, others, strict=True)]
        if kind == "contrastive":
            push = [hinge(1 - d) ** 2 / 2 for row in far for d in row]
            images.append(mean([d**2 / 2 for d in near]) + mean(push))
            continue
        middles = [(a + b) / 2 for a, b in pairs]
        centre = [
            (length(a - m) ** 2 + length(b - m) ** 2) / 4
            for (a, b), m in zip(pairs, middles, strict=True)
        ]
        pulls.append(mean(centre))
        if len(pairs) == 1:
            continue
        if kind == "triplet":
            values = [hinge(p - min(row) + 0.2) for p, row in zip(near, far, strict=True)]
            images.append(mean(values))
            continue
        values = []
        for (a, b), rest in zip(pairs, others, strict=True):
            own = a @ b
            if kind == "cosface":
                own -= 0.35
            if kind == "arcface":
                angle = math.acos(own)
                over = angle + 0.5 > math.pi
                own = own - 0.5 * math.sin(0.5) if over else math.cos(angle + 0.5)
            logits = [16 * own] + [16 * (a @ n) for n in rest]
            values.append(math.log(sum(math.exp(z) for z in logits)) - logits[0])
        images.append(mean(values))
    return mean(images) + (0.1 * mean(pulls) if kind == "centre" else 0.0)


def slow_loss(embedding, instances, kind):
    if kind == "discriminative":
        return slow_discriminative(embedding, instances)
    return slow_views(embedding, instances, kind)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", EMBEDDING_KINDS)
def test_values_and_gradients_are_those_of_a_slow_reference(kind, seed):
    embedding, instances = batch(seed)
    tensor = torch.tensor(embedding, dtype=torch.float32, requires_grad=True)
    value = embedding_loss(tensor, torch.from_numpy(instances), kind=kind)
    value.backward()
    start = tensor.detach().double().numpy()
    assert value.item() == pytest.approx(slow_loss(start, instances, kind), rel=1e-5)
    slopes = np.full(start.shape, np.nan)
    for index in np.random.default_rng(seed).permutation(list(np.ndindex(start.shape)))[:90]:
        step = np.zeros(start.shape)
        step[tuple(index)] = 1e-6
        high, low = (slow_loss(start + s, instances, kind) for s in (step, -step))
        slopes[tuple(index)] = (high - low) / 2e-6
    checked = ~np.isnan(slopes)
    assert (slopes[checked] != 0).sum() > 5
    np.testing.assert_allclose(tensor.grad.numpy()[checked], slopes[checked], rtol=1e-3, atol=2e-6)


def test_discriminative_by_hand():
    # means 1 and 3: each pixel 1 from its mean, the means 2 apart
    value = loss([[[[0.0, 2.0, 2.0, 4.0, 99.0]]]], [[[1, 1, 2, 2, 0]]], "discriminative")
    assert value == pytest.approx(0.5**2 + (3 - 2) ** 2 + 0.001 * 2)


# two objects: halves (1, 0) and (0.6, 0.8); (0, 1) twice
TWO = torch.tensor([[[[2.0, 0.6, 0.0, 0.0]], [[0.0, 0.8, 3.0, 1.0]]]])
LABELS = torch.tensor([[[5, 5, 8, 8]]])


def test_contrastive_by_hand():
    # |a1 - b1|^2 = 0.8, |a2 - b2| = 0; |a1 - b2|^2 = 2, |a2 - b1|^2 = 0.4
    expected = 0.8 / 2 / 2 + (1 - math.sqrt(0.4)) ** 2 / 2 / 2
    assert loss(TWO, LABELS, "contrastive") == pytest.approx(expected)


def test_triplet_by_hand():
    # 0.2 + 0.894 - 1.414 and 0.2 + 0 - 0.632 are below 0: only a nearer object costs
    assert loss(TWO, LABELS, "triplet") == 0
    nearer = TWO.clone()
    nearer[0, :, 0, 3] = torch.tensor([0.6, 0.8])  # b2 = b1
    expected = (0.2 + 0.2 + math.sqrt(0.4) - math.sqrt(0.4)) / 2
    assert loss(nearer, LABELS, "triplet") == pytest.approx(expected)


def softplus(x):
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("cosface", 0.6 - 0.35, 1 - 0.35),
        ("arcface", math.cos(math.acos(0.6) + 0.5), math.cos(0.501)),  # no angle below 0.001
    ],
)
def test_margins_by_hand(kind, first, second):
    # the other object's half has the cosine 0 with a1 and 0.8 with a2
    expected = (softplus(-16 * first) + softplus(16 * (0.8 - second))) / 2
    assert loss(TWO, LABELS, kind) == pytest.approx(
        expected, rel=1e-2 if kind == "arcface" else 1e-5
    )


def test_equal_halves_have_a_finite_slope_where_the_angle_has_none():
    embedding = TWO.clone().requires_grad_()  # the cosine of a2 and b2 is 1
    embedding_loss(embedding, LABELS, kind="arcface").backward()
    assert embedding.grad.isfinite().all()


def test_centre_by_hand():
    found = (softplus(-16 * 0.6) + softplus(-16 * 0.2)) / 2
    assert loss(TWO, LABELS, "centre") == pytest.approx(found + 0.1 * (0.8 / 8) / 2, rel=1e-5)


def test_arcface_falls_on_where_angle_and_margin_exceed_half_a_turn():
    opposed = torch.tensor([[[[1.0, -1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 1.0]]]])
    alone = -1 - 0.5 * math.sin(0.5)
    expected = (softplus(-16 * alone) + softplus(-16 * math.cos(0.5))) / 2
    assert loss(opposed, LABELS, "arcface") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", EMBEDDING_KINDS)
def test_without_objects_it_is_zero_with_a_zero_gradient(kind):
    embedding = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    embedding.requires_grad_()
    instances = torch.zeros(2, 4, 4, dtype=torch.int64)
    instances[1] = 65535
    value = embedding_loss(embedding, instances, kind=kind)
    value.backward()
    assert value.item() == 0
    assert (embedding.grad == 0).all()


@pytest.mark.parametrize("kind", ["triplet", "arcface", "cosface"])
def test_one_object_has_nothing_to_be_told_from(kind):
    embedding = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]], requires_grad=True)
    value = embedding_loss(embedding, torch.tensor([[[1, 1]]]), kind=kind)
    value.backward()
    assert value.item() == 0
    assert (embedding.grad == 0).all()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("contrastive", 2 / 2), ("centre", 0.1 * 2 / 8), ("discriminative", 0.001 * 0.5**0.5)],
)
def test_one_object_is_still_drawn_together(kind, expected):
    # halves (1, 0) and (0, 1); discriminative: both 0.707 from their mean, 0.207 beyond 0.5
    pull = (0.5**0.5 - 0.5) ** 2 if kind == "discriminative" else 0.0
    embedding = [[[[1.0, 0.0]], [[0.0, 1.0]]]]
    assert loss(embedding, [[[1, 1]]], kind) == pytest.approx(pull + expected)


@pytest.mark.parametrize("kind", EMBEDDING_KINDS)
def test_objects_of_one_pixel_keep_loss_and_gradient_finite(kind):
    embedding = torch.tensor([[[[1.0, 0.0, 2.0]], [[0.0, 1.0, 2.0]]]], requires_grad=True)
    value = embedding_loss(embedding, torch.tensor([[[1, 2, 3]]]), kind=kind)
    value.backward()
    assert embedding.grad.isfinite().all()
    assert (value.item() == 0) == (kind != "discriminative")  # only the means can be told apart


@pytest.mark.parametrize("kind", EMBEDDING_KINDS)
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_a_constant_embedding_keeps_loss_and_gradient_finite(kind, fill):
    _, instances = batch()
    embedding = torch.full((5, 3, 4, 6), fill, requires_grad=True)
    value = embedding_loss(embedding, torch.from_numpy(instances), kind=kind)
    value.backward()
    assert value.isfinite()
    assert value.item() > 0
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("kind", EMBEDDING_KINDS)
def test_learning_by_it_brings_pixels_of_an_object_together_and_objects_apart(kind):
    generator = torch.Generator().manual_seed(0)
    instances = torch.zeros(1, 6, 6, dtype=torch.int64)
    instances[0, :2], instances[0, 4:] = 1, 2
    embedding = torch.randn(1, 2, 6, 6, generator=generator) + 1
    embedding.requires_grad_()
    before = loss(embedding.detach(), instances, kind)
    optimiser = torch.optim.Adam([embedding], lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        embedding_loss(embedding, instances, kind=kind).backward()
        optimiser.step()
    assert loss(embedding.detach(), instances, kind) < before / 2
    first, second = (embedding.detach()[0][:, instances[0] == i].mean(1) for i in (1, 2))
    assert torch.cosine_similarity(first, second, dim=0) < 0.9


@pytest.mark.parametrize("kind", EMBEDDING_KINDS)
def test_background_and_ignored_pixels_have_no_gradient(kind):
    embedding, instances = batch()
    embedding = torch.tensor(embedding, dtype=torch.float32, requires_grad=True)
    instances = torch.from_numpy(instances)
    embedding_loss(embedding, instances, kind=kind).backward()
    outside = (instances == 0) | (instances == 65535)
    assert (embedding.grad * outside[:, None] == 0).all()
    assert (embedding.grad * ~outside[:, None] != 0).any()


@pytest.mark.parametrize("kind", EMBEDDING_KINDS)
def test_images_are_apart_and_labels_are_only_names(kind):
    embedding, instances = batch()
    embedding, instances = torch.tensor(embedding).float(), torch.from_numpy(instances)
    renamed = instances.clone()
    for old, new in ((3, 1), (7, 50_000), (300, 2)):
        renamed[0][instances[0] == old] = new
    assert loss(embedding, renamed, kind) == pytest.approx(loss(embedding, instances, kind))
    alone = [loss(embedding[i : i + 1], instances[i : i + 1], kind) for i in (0, 1)]
    assert loss(embedding[:2], instances[:2], kind) == pytest.approx(sum(alone) / 2, rel=1e-5)


@pytest.mark.parametrize("kind", EMBEDDING_KINDS)
def test_half_precision_embeddings_are_taken_as_their_values(kind):
    embedding, instances = batch()
    half, instances = torch.tensor(embedding).bfloat16(), torch.from_numpy(instances)
    value = embedding_loss(half, instances, kind=kind)
    assert value.dtype == torch.float32
    assert torch.equal(value, embedding_loss(half.float(), instances, kind=kind))


def test_an_unknown_kind_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'softmax' is unknown; known: discriminative, contrast"):
        loss(TWO, LABELS, "softmax")
