"""The smallest network that is trained and predicted with in tests, as model.json describes it."""

NETWORK = {
    "architecture": "Linknet",
    "encoder": "tu-test_resnet",
    "encoder_depth": 3,
    "encoder_attention": "none",
    "stem_stride": 2,
    "stem_pooling": True,
    "decoder_width": 16,
    "decoder_attention": "none",
    "decoder_upsampling": "nearest",
    "decoder_norm": "batchnorm",
    "hypercolumn": False,
    "embedding_size": 4,
    "in_channels": 3,
    "heads": ["mask"],
}
FED = {  # what it is fed with
    "mean": [0.5] * 3,
    "std": [0.2] * 3,
    "resize": 1.0,
    "image_channels": "rgb",
    "extra_channels": [],
    "clahe": 0.0,
    "depth_column": "none",
    "depth_range": None,
}
