"""The captions that the embedded backbone learns, in groups of which one text fits an image best.

They tell scene, fault and appearance; none says how good an image is. No other words are stored with
the model, apart from those of the quality prompts.
"""

from grmp_plugin.config import NetworkConfig
from grmp_plugin.data.distortions import DISTORTIONS

STRENGTHS = ("slightly", "mildly", "moderately", "strongly", "severely")

# Hand-written stand-ins for quality prompts: this backbone has never read "high quality".
PLAIN_QUALITY_TEXTS = ("a pristine photo.", "a photo, severely distorted.")


def caption_groups(config: NetworkConfig) -> dict[str, list[str]]:
    """The texts of each group by its name; `targets` says which of them fit."""
    return {
        "scene": [config.scene_text.format(scene=scene) for scene in config.scenes],
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


def all_texts(config: NetworkConfig) -> list[str]:
    """Every text, for the vocabulary."""
    captions = [text for group in caption_groups(config).values() for text in group]
    return [*captions, *config.quality_texts, *PLAIN_QUALITY_TEXTS]
