"""From the fingerprint of a training set to the values that a person would otherwise have to know.

Each rule is a function of the fingerprint and of what was chosen before, and gives a value and the
sentence that says what it rests on. Values come in coarse steps, so that a few images more or less
change none. After nnU-Net (Isensee et al. 2021), whose rules these are not.
"""

import math
from collections.abc import Sequence
from typing import cast

from src.base.params import AUTO
from src.losses.params import LossParams
from src.networks.params import ModelParams
from src.planning.fingerprint import HARMLESS, PRESSED, REACH, Fingerprint
from src.planning.plan_folder import Choice
from src.training.params import TrainParams

STRIDE = 32  # px, of an encoder of depth 5; a multiple of it fits one of any depth
SHRINKING = (0.75, 0.5, 0.4, 0.25)
TOO_LARGE, LARGEST = 200, 160  # px: an object longer than the first is brought to the second
TOO_SMALL = 9  # px, diameter of a median object below which images are enlarged
ENLARGED = 2.0
SMALLEST_IMAGE = 64  # px, that an image shrinks to at least
WHOLE = 320  # px, longest side of an image that is seen whole
CROPS = (128, 384)  # px, least and most where it is not
LENGTHS_IN_CROP = 6  # of a large object
DEEP_CROP, DEEP_OBJECT = 256, 64  # px, from which an encoder halves the image five times
BATCH, BATCH_PIXELS = 8, 1_000_000  # images; pixels of all crops of a batch, at most
PASSES, MORE = 30, 2.0  # how often an image is seen, at least, for at most so many times the steps
SIGMAS = (3.0, 10.0)  # px, least and most
SIGMA_WITHOUT = 5.0  # px, where no objects are near each other
FELT = 3  # times sigma: beyond it the weight of a distance is below 1 / 8,000 of its highest
LONGEST_DISTANCE = 63  # px, that weight maps can store
MANY_TOUCH = 0.1  # share of objects, from which those pressed together are worth a head
DISTANCE_WEIGHT = 0.5  # of that head
MANY_CORNERED = 0.01  # share of objects, from which parts that meet at corners are one object
HOLE_IN_OBJECT = 4  # times a hole, at least, is the area of a median object
LIMIT, CROWDED = 100, 60  # detections, objects of an image
MIN_AREA_WITHOUT, MAX_HOLE_WITHOUT = 12, 8  # px, without any object to go by
NO_OBJECT = "there is no object to go by"


def choose(
    found: Fingerprint,
    *,
    steps: int,
    learnt: float,
    model: ModelParams,
    train: TrainParams,
    losses: Sequence[LossParams],
    timed: str = "",
) -> list[Choice]:
    """Choose all values that `auto` stands for.

    Parameters
    ----------
    found : Fingerprint
        Of at least one image.
    steps : int
        Batches that a network is trained on.
    learnt : float
        Share of the images that one network learns from.
    model, train : Params
        Where they have a number in the place of `auto`, what depends on it goes by the number.
    losses : sequence of LossParams
        Of all members: distances are measured as far as sigma and contact_width of all need.
    timed : str
        Where `steps` comes of a time that is not to be exceeded: the words that say so.
    """
    resize = _resize(found)
    factor = _in_force(resize, model.resize)
    crop_size = _crop_size(found, factor)
    crop = _in_force(crop_size, train.crop_size)
    batch_size = _batch_size(crop)
    phases = train.repeat * sum(phase.epochs == AUTO for phase in train.phases)
    batch = _in_force(batch_size, train.batch_size)
    sigma = _sigma(found)
    return [
        resize,
        _encoder_depth(found, factor, crop),
        crop_size,
        batch_size,
        _epochs(round(found.images * learnt), batch, steps, max(phases, 1), timed),
        sigma,
        *_touching(found, losses),
        _max_distance(losses, sigma),
        _min_area(found),
        _max_hole(found),
        _connectivity(found),
        Choice("postprocess", "dilate", 0, "objects are learnt as they are labelled"),
        _max_detections(found),
    ]


def _in_force(choice: Choice, given: float) -> float:
    """Return what counts: what params.yaml gives, or the choice where that is `auto`."""
    return cast("float", choice.value) if given == AUTO else given  # a name is never asked for


def _resize(found: Fingerprint) -> Choice:
    def chosen(value: float, reason: str) -> Choice:
        return Choice("model", "resize", value, reason)

    if not found.objects:
        return chosen(1.0, NO_OBJECT)
    small, median, large = found.diameters[0], found.diameters[1], found.large
    if large > TOO_LARGE:
        fitting = [one for one in SHRINKING if one * found.short_side >= SMALLEST_IMAGE]
        enough = [one for one in fitting if one * large <= LARGEST]
        factor = max(enough, default=min(fitting, default=1.0))
        return chosen(
            factor,
            f"5 % of the objects are longer than {large:.0f} px, more than a network oversees; "
            f"{LARGEST} px are aimed at, images of {SMALLEST_IMAGE} px kept",
        )
    if median < TOO_SMALL:
        return chosen(
            ENLARGED,
            f"half of the objects have a diameter below {median:.1f} px, of which little is left "
            "where the encoder halves the image",
        )
    return chosen(
        1.0, f"objects of {small:.0f} to {large:.0f} px are neither too small nor too large"
    )


def _crop_size(found: Fingerprint, resize: float) -> Choice:
    short, long = found.short_side * resize, found.long_side * resize
    size = f"{short:.0f} x {long:.0f} px" + ("" if resize == 1 else " when resized")
    if long <= WHOLE:
        value, reason = long, f"images of {size} are seen whole"
    elif not found.objects:
        value, reason = min(short, CROPS[1]), f"a part of images of {size}, as {NO_OBJECT}"
    else:
        large = found.large * resize
        value = min(max(LENGTHS_IN_CROP * large, CROPS[0]), CROPS[1], short)
        reason = f"a part of images of {size} that shows several objects of up to {large:.0f} px"
    return Choice("train", "crop_size", STRIDE * math.ceil(value / STRIDE), reason)


def _encoder_depth(found: Fingerprint, resize: float, crop_size: float) -> Choice:
    large = found.large * resize  # NaN is larger than nothing
    if crop_size >= DEEP_CROP:
        value, reason = 5, f"crops of {crop_size} px can be halved five times"
    elif large > DEEP_OBJECT:
        value, reason = 5, f"objects of up to {large:.0f} px need the widest view"
    else:
        value, reason = 4, f"crops of {crop_size} px are small when halved four times"
    return Choice("model", "encoder_depth", value, reason)


def _batch_size(crop_size: float) -> Choice:
    value = BATCH
    while value > 1 and value * crop_size**2 > BATCH_PIXELS:
        value //= 2
    reason = f"{value} crops of {crop_size} px hold {value * crop_size**2 / 1e6:.2f} million pixels"
    return Choice("train", "batch_size", value, f"{reason}, of at most {BATCH_PIXELS / 1e6:.2g}")


def _epochs(images: int, batch_size: float, steps: int, phases: int, timed: str) -> Choice:
    batches = max(1, int(images // batch_size))
    reason = (
        f"a network learns from about {images} images, in {batches} "
        f"batch{'es' * (batches > 1)} an epoch, and {timed or f'plan.steps is {steps}'}"
    )
    if phases > 1:
        reason += f" for {phases} phases together"
    passes = steps / batches
    if passes < PASSES and not timed:
        passes = min(PASSES, MORE * passes)
        reason += f"; as those see an image rarely, up to {MORE:g} times as many are taken"
    return Choice("train", "epochs", max(1, coarse(passes / phases)), reason)


def _sigma(found: Fingerprint) -> Choice:
    if not found.objects or not found.near:
        reason = NO_OBJECT if not found.objects else f"no objects lie within {REACH} px"
        return Choice("loss", "sigma", SIGMA_WITHOUT, reason)
    value = min(max(float(round(found.gap)), SIGMAS[0]), SIGMAS[1])  # exp(-1) at a typical gap
    return Choice(
        "loss",
        "sigma",
        value,
        f"{found.near:.0%} of the objects have another one within {REACH} px, half of those within "
        f"{found.gap:.1f} px",
    )


def _touching(found: Fingerprint, losses: Sequence[LossParams]) -> list[Choice]:
    """Choose whether distances to boundaries are learnt, and whether they part objects.

    They are merged only where each network has the head.
    """
    if not found.objects:
        weight, reason = 0.0, NO_OBJECT
    else:
        weight = DISTANCE_WEIGHT * (found.touching >= MANY_TOUCH)
        reason = (
            f"{found.touching:.0%} of the objects lie against others along {PRESSED:.0%} of their "
            f"size, and the distance to boundaries parts such; it is learnt from {MANY_TOUCH:.0%} "
            "on"
        )
    head = Choice("loss", "boundary_distance_weight", weight, reason)
    parts = all(_in_force(head, one.boundary_distance_weight) for one in losses)
    reason = f"the networks have {'the' if parts else 'no'} head that tells distances to boundaries"
    return [head, Choice("postprocess", "seeds", "distance" if parts else "mask", reason)]


def _max_distance(losses: Sequence[LossParams], chosen: Choice) -> Choice:
    sigma = max(_in_force(chosen, one.sigma) for one in losses)
    width = max(one.contact_width for one in losses)
    felt, contact = math.ceil(FELT * sigma), math.floor(width) + 1
    value = min(max(felt, contact), LONGEST_DISTANCE)
    reason = f"weights of sigma {sigma:g} px are not felt beyond {felt} px"
    if contact > felt:
        reason += f", and loss.contact_width {width:g} needs {contact} px"
    return Choice("weight_maps", "max_distance", value, reason)


def _min_area(found: Fingerprint) -> Choice:
    if not found.objects:
        return Choice("postprocess", "min_area", MIN_AREA_WITHOUT, NO_OBJECT)
    reason = f"half of what all but 1 % of the objects have, {found.small_area:.0f} px"
    return Choice("postprocess", "min_area", coarse(found.small_area / 2), reason)


def _max_hole(found: Fingerprint) -> Choice:
    if not found.objects:
        return Choice("postprocess", "max_hole", MAX_HOLE_WITHOUT, NO_OBJECT)
    most = found.diameters[1] ** 2 / HOLE_IN_OBJECT
    value = coarse(min(most, found.harmless_hole))
    if found.harmless_hole < most:
        reason = f"smaller holes make up {HARMLESS:.1%} of the objects, larger ones are real"
    else:
        reason = f"real holes are few, and a quarter of the median object is {most:.0f} px"
    return Choice("postprocess", "max_hole", value, f"{found.holes:.2g} holes an object; {reason}")


def _connectivity(found: Fingerprint) -> Choice:
    if not found.objects:
        return Choice("postprocess", "connectivity", 4, NO_OBJECT)
    value = 8 if found.cornered >= MANY_CORNERED else 4
    reason = f"{found.cornered:.1%} of the objects have parts that meet at a corner alone"
    return Choice("postprocess", "connectivity", value, reason)


def _max_detections(found: Fingerprint) -> Choice:
    most = found.most_objects
    if most <= CROWDED:
        value, reason = LIMIT, f"no image has more than {most} objects"
    else:
        value = LIMIT * math.ceil(2 * most / LIMIT)
        reason = f"an image has {most} objects, of which twice as many are to be judged"
    return Choice("evaluate", "max_detections", value, reason)


def coarse(value: float) -> int:
    """Round to whole numbers below 20, then to multiples of 5, from 100 on to two digits."""
    if value < 100:
        return round(value) if value < 20 else 5 * round(value / 5)
    step = 10 ** (math.floor(math.log10(value)) - 1)
    return step * round(value / step)
