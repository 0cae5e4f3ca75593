"""The texts that the embedded model's text tower learns; no other words are stored with it."""

from grmp_plugin.config import NetworkConfig
from grmp_plugin.data.distortions import DISTORTIONS

STRENGTHS = ("slight", "mild", "moderate", "strong", "severe")
QUALITY_WORDS = ("bad", "poor", "fair", "good", "excellent")

# Hand-written quality texts, for zero-shot scoring without learned prompts.
PLAIN_QUALITY_TEXTS = ("a photo with high quality.", "a photo with low quality.")


def distortion_texts() -> list[str]:
    """One text for each entry of `corpus.KINDS`: undistorted first."""
    return ["a pristine photo.", *(f"a photo with {_words(kind)}." for kind in DISTORTIONS)]


def strength_texts() -> list[str]:
    """One text for each level, the pristine one first."""
    return ["a photo with no distortion.", *(f"a photo with {word} distortion." for word in STRENGTHS)]


def quality_word_texts() -> list[str]:
    """Five grades, the worst first, as on the scale of ITU-R BT.500."""
    return [f"a photo of {word} quality." for word in QUALITY_WORDS]


def scene_texts(config: NetworkConfig) -> list[str]:
    """One text for each scene, as the semantic task writes them."""
    return [config.scene_text.format(scene=scene) for scene in config.scenes]


def all_texts(config: NetworkConfig) -> list[str]:
    """Every text, for the vocabulary."""
    return [
        *config.quality_texts,
        *PLAIN_QUALITY_TEXTS,
        *scene_texts(config),
        *distortion_texts(),
        *strength_texts(),
        *quality_word_texts(),
    ]


def _words(kind: str) -> str:
    return kind.replace("_", " ")
