"""The captions that the embedded backbone learns.

Fixed ones come in groups of which one text fits an image best: scene, fault, strength of the fault,
appearance. Beside them stand the names of ImageNet's classes, and what is said of each photograph. None says
how good an image is, and no other words are stored with the model, apart from those of the quality prompts.
"""

from collections.abc import Iterable

from grmp_plugin.config import NetworkConfig
from grmp_plugin.network.texts import clip_token_ids
from grmp_plugin.synthetic.distortions import DISTORTIONS
from grmp_plugin.training.embedded.imagenet import class_names

STRENGTHS = ("slightly", "mildly", "moderately", "strongly", "severely")

# Hand-written stand-ins for quality prompts: this backbone has never read "high quality".
PLAIN_QUALITY_TEXTS = ("a pristine photo.", "a photo, severely distorted.")


def caption_groups(config: NetworkConfig) -> dict[str, list[str]]:
    """The texts of each group by its name; `targets` says which of them fit."""
    return {
        "scene": list(config.scene_texts),
        "fault": [
            PLAIN_QUALITY_TEXTS[0],
            *(
                f"a photo, {strength} {kind.describe}."
                for kind in DISTORTIONS.values()
                for strength in STRENGTHS
            ),
        ],
        "strength": [PLAIN_QUALITY_TEXTS[0], *(f"a photo, {strength} distorted." for strength in STRENGTHS)],
        "brightness": ["a dark photo.", "a photo of medium brightness.", "a bright photo."],
        "contrast": [f"a photo of {amount} contrast." for amount in ("low", "medium", "high")],
        "colour": [
            "a photo with pale colours.",
            "a photo with medium colours.",
            "a photo with vivid colours.",
        ],
        "detail": [f"a photo of {amount} detail." for amount in ("low", "medium", "high")],
    }


def class_texts() -> list[str]:
    """A caption for each of ImageNet's classes."""
    return [f"a photo of a {name.lower()}." for name in class_names()]


def short_captions(captions: Iterable[str], config: NetworkConfig) -> list[str]:
    """Those of a photograph's captions that the text tower can take."""
    architecture = config.backbone.architecture or {}
    longest = architecture["text_cfg"]["context_length"]
    return [caption for caption in captions if len(clip_token_ids(caption)) <= longest]


def all_texts(config: NetworkConfig, captions: Iterable[str]) -> list[str]:
    """Every text, for the vocabulary; `captions` are those of the photographs."""
    fixed = [text for group in caption_groups(config).values() for text in group]
    return [*fixed, *class_texts(), *captions, *config.quality_texts, *PLAIN_QUALITY_TEXTS]
