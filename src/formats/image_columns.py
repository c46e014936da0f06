"""The columns of images.csv, and those that later stages add to it."""

IMAGE_TYPES = {  # before the metadata
    "name": str,
    "split": str,
    "image_id": int,
    "file_name": str,
    "height": int,  # px
    "width": int,  # px
    "objects": float,  # labels in the label map; this and the next two are empty in test
    "ignored": float,  # regions
    "coverage": float,  # share of the pixels, in [0, 1]
    "group": str,
}
_OF_FOLDS = ("copies", "copy", "test_likeness", "in_train", "left_out", "use")
LATER_COLUMNS = (*_OF_FOLDS, "relative_depth", "image_weight")  # the last two by training
