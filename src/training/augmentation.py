"""Random views of a training image, through albumentations."""

import inspect
import os
import warnings

import cv2

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network
import albumentations as A  # noqa: E402

from src.base.errors import InputError
from src.label_maps.labels import IGNORED
from src.predicting.allowed_views import NESTED, Views, limited_views
from src.training.band_levels import LEVELS, BandLevels
from src.training.grey_objects import GreyObjects
from src.training.params import AugmentParams, refuse_far_turn
from src.training.random_views import RandomView

OFF = {
    "views": "none",
    "shift": 0.0,
    "scale": 0.0,
    "rotate": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "gamma": 0.0,
    "hue": 0,
    "saturation": 0,
    "grey": 0.0,
    "grey_objects": 0.0,
    "blur": 0.0,
    "noise": 0.0,
    "clahe": 0.0,
    "grid": 0.0,
    "elastic": 0.0,
    "transforms": [],
}
LIGHT = OFF | {
    "views": "d4",
    "shift": 0.05,
    "scale": 0.1,
    "rotate": 10.0,
    "brightness": 0.1,
    "contrast": 0.1,
    "hue": 5,
    "saturation": 10,
}
HEAVY = LIGHT | {
    "shift": 0.1,
    "scale": 0.25,
    "rotate": 30.0,
    "brightness": 0.25,
    "contrast": 0.25,
    "gamma": 0.25,
    "hue": 15,
    "saturation": 30,
    "grey": 0.1,
    "blur": 0.15,
    "noise": 0.2,
    "clahe": 0.1,
    "grid": 0.2,
    "elastic": 0.2,
}
SETS = {"none": OFF, "light": LIGHT, "heavy": HEAVY}

# What may move pixels among augment.transforms, with the least views.allowed that permits it
GEOMETRIC = {
    "Affine": "none",
    "CoarseDropout": "none",
    "CropAndPad": "none",
    "ElasticTransform": "none",
    "Erasing": "none",
    "GridDistortion": "none",
    "GridDropout": "none",
    "OpticalDistortion": "none",
    "Perspective": "none",
    "PixelDropout": "none",
    "RandomCropFromBorders": "none",
    "RandomGridShuffle": "none",
    "RandomResizedCrop": "none",
    "RandomScale": "none",
    "RandomSizedCrop": "none",
    "Rotate": "none",
    "SafeRotate": "none",
    "ThinPlateSpline": "none",
    "XYMasking": "none",
    "HorizontalFlip": "hflip",
    "VerticalFlip": "d2",
    "D4": "d4",
    "RandomRotate90": "d4",
    "SquareSymmetry": "d4",
    "Transpose": "d4",
}
UNSUITABLE = (  # of the colour transforms: other types than uint8, more inputs than an image
    "FDA",
    "FromFloat",
    "HistogramMatching",
    "ImageOnlyTransform",
    "Normalize",
    "PixelDistributionAdaptation",
    "TextImage",
    "ToFloat",
    "ToRGB",
)


# Of augment, which bands do not have
COLOURS_ALONE = ("hue", "saturation", "grey", "grey_objects", "clahe")


def training_transform(
    augment: AugmentParams, *, allowed: Views, crop_size: int, bands: bool = False
) -> A.Compose:
    """Compose the random views of one data set, with a crop of fixed size among them.

    In this order: views, affine and crop at once, colours, grid and elastic distortion, grey
    objects, grey, blur, noise, local contrast. Free transforms come after the colours and see the
    whole image; then it is cropped after them. Maps are resampled with nearest neighbour; what a
    shift, a turn or a distortion uncovers repeats the edge, in the image and its maps alike.

    Parameters
    ----------
    augment : AugmentParams
        `set`: "custom" takes the values of the section, the others are values in their place.
        `views`: which of the allowed views to draw from. `shift`, `scale`: largest shift as a
        fraction of the size; largest relative change of size. `rotate`: largest turn in degrees,
        either way; up to 45 unless d4 is allowed. `brightness`, `contrast`, `gamma`: largest
        relative change, of gamma that of the exponent. `hue`, `saturation`: largest change on
        OpenCV's scales. `grey`, `grey_objects` (their pixels alone), `blur`, `noise`, `clahe`,
        `grid`, `elastic`: probabilities. 0 switches each of these off. `transforms`: others of
        albumentations: `name`, `p` (0.5 if left out) and arguments. What a geometric one uncovers
        is ignored in the maps unless it says otherwise by `fill_mask`. `mosaic` and `copy_paste`
        come before, in `src.training.crops`.
    allowed : {"none", "hflip", "d2", "d4"}
        Which mirrored and turned views are physically possible.
    crop_size : int
        Height and width of the result in pixels; images are at least that large.
    bands : bool
        Whether images are bands (H, W, 1 to 16), uint8 or uint16. Then brightness, contrast, gamma
        and noise are those of `src.training.band_levels`, what changes colours is left out (see
        `left_out_of_bands`), and free transforms are refused.

    Returns
    -------
    transform : albumentations.Compose
        Called with `image` (H, W, 3) and `mask` (H, W, C), uint8; `set_random_state` makes the
        next call reproducible.

    Raises
    ------
    InputError
        If `rotate` or a free transform shows what is not allowed, or a free transform is unknown,
        has unknown or wrong arguments, or does more than to transform an image and its maps.
    """
    augment = _values(augment)
    if bands:
        augment = _of_bands(augment)
    refuse_far_turn("augment.rotate", augment.rotate, allowed)
    free = [_free(number, entry, allowed) for number, entry in enumerate(augment.transforms)]
    steps: list[A.BasicTransform] = [
        RandomView(
            views=limited_views(augment.views, allowed),
            shift=augment.shift,
            scale=augment.scale,
            rotate=augment.rotate,
            crop_size=0 if free else crop_size,
        )
    ]
    if bands and any(getattr(augment, key) for key in LEVELS):
        steps.append(BandLevels(**{key: getattr(augment, key) for key in LEVELS}))
    steps += [] if bands else _colours(augment)
    if free:  # what they do may depend on the whole image
        border = cv2.BORDER_REPLICATE
        crop = A.RandomCrop(crop_size, crop_size, pad_if_needed=True, border_mode=border)
        steps += [*free, crop]
    steps += _distortions(augment.model_copy(update={"noise": 0.0}) if bands else augment)
    return A.Compose([*steps], mask_interpolation=cv2.INTER_NEAREST)


def left_out_of_bands(augment: AugmentParams) -> list[str]:
    """Return the keys of augment that do something to colours, and nothing to bands."""
    return [key for key in COLOURS_ALONE if getattr(_values(augment), key)]


def _values(augment: AugmentParams) -> AugmentParams:
    """Return the section with the values of its set."""
    return augment.model_copy(update=SETS.get(augment.set, {}))


def _of_bands(augment: AugmentParams) -> AugmentParams:
    """Return what can be done to bands; refuse what may take them for colours."""
    if augment.transforms:
        raise InputError(
            "params.yaml: augment.transforms: are not made for images of bands "
            "(model.image_channels); empty it"
        )
    return augment.model_copy(update=dict.fromkeys(COLOURS_ALONE, 0))


def centre_crop(crop_size: int) -> A.Compose:
    """Compose the fixed view, `crop_size` pixels high and wide, on which a loss is watched."""
    return A.Compose([A.CenterCrop(crop_size, crop_size)])


def _colours(augment: AugmentParams) -> list:
    steps = []
    if augment.brightness or augment.contrast:
        steps.append(A.RandomBrightnessContrast(augment.brightness, augment.contrast, p=1))
    if augment.gamma:
        lowest = max(1.0, 100 * (1 - augment.gamma))
        steps.append(A.RandomGamma((lowest, 100 * (1 + augment.gamma)), p=1))
    if augment.hue or augment.saturation:
        steps.append(A.HueSaturationValue(augment.hue, augment.saturation, 0, p=1))
    return steps


def _distortions(augment: AugmentParams) -> list:
    """Return what costs much a pixel, and so comes after the crop."""
    edge = cv2.BORDER_REPLICATE
    steps = {  # elastic: displacements of about 2 px, smooth over 6 px
        "grid": lambda p: A.GridDistortion(num_steps=4, distort_limit=0.3, border_mode=edge, p=p),
        "elastic": lambda p: A.ElasticTransform(alpha=200, sigma=6, border_mode=edge, p=p),
        "grey_objects": lambda p: GreyObjects(p=p),
        "grey": lambda p: A.ToGray(p=p),
        "blur": lambda p: A.GaussianBlur(blur_limit=0, sigma_limit=(0.5, 1.5), p=p),
        "noise": lambda p: A.GaussNoise(std_range=(0.01, 0.05), p=p),
        "clahe": lambda p: A.CLAHE(clip_limit=(1.0, 4.0), p=p),
    }
    return [step(getattr(augment, key)) for key, step in steps.items() if getattr(augment, key)]


def _free(number: int, entry: dict, allowed: Views):
    """Make one of augment.transforms, refusing what would not do as meant."""
    place = f"params.yaml: augment.transforms.{number}"
    if not isinstance(entry.get("name"), str):
        raise InputError(f"{place} {entry!r}: needs a name, such as {{name: RandomFog, p: 0.1}}")
    name, arguments = entry["name"], {k: v for k, v in entry.items() if k != "name"}
    kind = _kind(place, name, allowed)
    known = inspect.signature(kind).parameters
    unknown = arguments.keys() - known
    if unknown:
        raise InputError(
            f"{place} {name}: unknown argument {min(map(str, unknown))}, "
            f"use some of {', '.join(known)}"
        )
    if "fill_mask" in known and known["fill_mask"].default is not None:
        arguments = {"fill_mask": IGNORED} | arguments
    try:
        with warnings.catch_warnings(action="error"):
            step = kind(**arguments)
    except (TypeError, ValueError, UserWarning) as error:
        raise InputError(f"{place} {name}: {_reason(error)}, correct its arguments") from None
    if name in GEOMETRIC:
        _check_turns(number, name, step, allowed)
    return step


def _check_turns(number: int, name: str, step, allowed: Views) -> None:
    """Refuse arguments by which a transform that need not mirror or turn far does."""
    turns = [abs(angle) for key in ("rotate", "limit") for angle in getattr(step, key, ())]
    if turns:
        refuse_far_turn(f"augment.transforms.{number} {name}", max(turns), allowed)
    if name == "Affine" and min(min(limits) for limits in step.scale.values()) <= 0:
        raise InputError(
            f"params.yaml: augment.transforms.{number} Affine: scale {step.scale} mirrors or "
            "flattens, use positive factors, and augment.views to mirror"
        )


def _kind(place: str, name: str, allowed: Views) -> type:
    """Return the class of a free transform, if it is one that can be used."""
    kind = getattr(A, name, object)
    colour = inspect.isclass(kind) and issubclass(kind, A.ImageOnlyTransform)
    if name not in GEOMETRIC and not (colour and name not in UNSUITABLE):
        raise InputError(
            f"{place} {name}: unknown or of no use here, take a colour transform of "
            f"albumentations or one of {', '.join(GEOMETRIC)}"
        )
    needed = GEOMETRIC.get(name, "none")
    if NESTED.index(needed) > NESTED.index(allowed):
        raise InputError(
            f"{place} {name}: shows views that views.allowed {allowed} forbids, remove it or set "
            f"views.allowed to {needed}"
        )
    return kind


def _reason(error: Exception) -> str:
    """Return the first complaint of pydantic, which albumentations checks arguments with."""
    complaints = getattr(error.__cause__, "errors", None)
    if complaints is None:
        return str(error).splitlines()[0]
    first = complaints()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
