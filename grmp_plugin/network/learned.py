"""Which parameters each stage of the method learns; all others are frozen."""

from collections.abc import Iterable

from torch import Tensor, nn

from grmp_plugin.network.grmp_iqa import GRMPIQA

_PROMPTS = ("text_prompt.", "visual_prompts.")
_SHARE = 3  # few-shot adaptation learns the last third of each tower


def prompt_names(network: GRMPIQA) -> list[str]:
    """What meta-prompt pre-training learns: context, visual prompts, their projection and LayerNorm."""
    return [name for name, _ in network.named_parameters() if name.startswith(_PROMPTS)]


def adaptation_names(network: GRMPIQA) -> list[str]:
    """What few-shot adaptation learns: context, last third of both towers' blocks, final LayerNorms.

    For ViT-B/16 these are blocks 8 to 11 of both towers; of fewer than three blocks the last is learned.
    """
    clip = network.clip
    learned = ["text_prompt.ctx", "clip.ln_final.", "clip.visual.ln_post."]
    for tower, prefix in ((clip.visual.transformer, "clip.visual."), (clip.transformer, "clip.")):
        blocks = len(tower.resblocks)
        numbers = range(_first_learned(blocks), blocks)
        learned += [f"{prefix}transformer.resblocks.{number}." for number in numbers]
    return [name for name, _ in network.named_parameters() if name.startswith(tuple(learned))]


def first_learned_block(network: GRMPIQA) -> int:
    """Index of the first image block that few-shot adaptation learns."""
    return _first_learned(len(network.clip.visual.transformer.resblocks))


def first_changed_block(network: GRMPIQA, names: Iterable[str]) -> int:
    """Index of the first image block that has one of the named parameters; the last block's if none has."""
    blocks = network.clip.visual.transformer.resblocks
    prefixes = [f"clip.visual.transformer.resblocks.{number}." for number in range(len(blocks))]
    wanted = tuple(names)
    return next(
        (i for i, prefix in enumerate(prefixes) if any(name.startswith(prefix) for name in wanted)),
        len(blocks) - 1,
    )


def tensors_before(network: GRMPIQA, block: int) -> dict[str, Tensor]:
    """Parameters and buffers that `GRMPIQA.pass_first_blocks` of `GRMPIQA.tokens` depends on, by name."""
    later = ["clip.visual.ln_post.", "clip.visual.proj", "visual_prompts.prompt_norm."]
    blocks = len(network.clip.visual.transformer.resblocks)
    later += [f"clip.visual.transformer.resblocks.{number}." for number in range(block, blocks)]
    towers = ("clip.visual.", "visual_prompts.")
    return {
        name: tensor
        for name, tensor in network.state_dict().items()
        if name.startswith(towers) and not name.startswith(tuple(later))
    }


def learn_only(network: GRMPIQA, names: Iterable[str]) -> dict[str, nn.Parameter]:
    """Freeze all but the named parameters; return these by name, in the network's order."""
    wanted = set(names)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in wanted)
    return {name: parameter for name, parameter in network.named_parameters() if name in wanted}


def _first_learned(blocks: int) -> int:
    return blocks - max(1, blocks // _SHARE)
