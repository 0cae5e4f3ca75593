"""The frozen CLIP that classifies an image's scene; it shares every tensor it can with the student."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.towers import encode_image, project_image


class Teacher(nn.Module):
    """The student's CLIP as it is now: the image tower without prompts, and its scene text features.

    For a model that was adapted before, this is the adapted CLIP, not the original one. Of the image tower
    only the tensors that the student will change are copied. The text tower is evaluated once, here, and
    not kept.

    Args:
        network: The student before its first step.
        learned: Names of the student's parameters that will change.

    Raises:
        VocabularyError: When the model does not carry the scenes' words.
    """

    texts: Tensor
    logit_scale: Tensor

    def __init__(self, network: GRMPIQA, learned: Iterable[str]) -> None:
        super().__init__()
        changing = {id(network.get_parameter(name)) for name in learned}
        tensors = [*network.clip.visual.parameters(), *network.clip.visual.buffers()]
        # deepcopy does not copy what is in its memo.
        shared = {id(tensor): tensor for tensor in tensors if id(tensor) not in changing}
        self.visual = copy.deepcopy(network.clip.visual, shared)
        self.visual.requires_grad_(False)
        with torch.no_grad():
            self.register_buffer("texts", network.scene_text_features().clone())
            self.register_buffer("logit_scale", network.clip.logit_scale.detach())
        self.eval()

    @torch.no_grad()
    def forward(self, tokens: Tensor) -> Tensor:
        """Scene logits.

        Args:
            tokens: (B, 1 + patches, width) embedded images, from `GRMPIQA.tokens`.

        Returns:
            (B, scenes).
        """
        features = project_image(self.visual, encode_image(self.visual, tokens))
        return self.logit_scale.exp() * features @ self.texts.T
