"""The frozen CLIP that says which scene an image shows, sharing every tensor it can with the student."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.towers import encode_image, project_image


class Teacher(nn.Module):
    """Plain CLIP as it is now: image tower without prompts, and its features of the scene texts.

    A model that was adapted before is taken as it was adapted, and not as the CLIP that it once was.
    Only what the student learns of the image tower is copied. The text tower is read once, here, so of
    it nothing is kept.

    Args:
        network: the student before its first step.
        learned: names of the student's parameters that will change.

    Raises:
        VocabularyError: when the model does not carry the scenes' words.
    """

    texts: Tensor
    logit_scale: Tensor

    def __init__(self, network: GRMPIQA, learned: Iterable[str]) -> None:
        super().__init__()
        changing = {id(network.get_parameter(name)) for name in learned}
        tensors = [*network.clip.visual.parameters(), *network.clip.visual.buffers()]
        # What deepcopy finds in its memo it takes as it is.
        shared = {id(tensor): tensor for tensor in tensors if id(tensor) not in changing}
        self.visual = copy.deepcopy(network.clip.visual, shared)
        self.visual.requires_grad_(False)
        with torch.no_grad():
            self.register_buffer("texts", network.scene_text_features().clone())
            self.register_buffer("logit_scale", network.clip.logit_scale.detach())
        self.eval()

    @torch.no_grad()
    def forward(self, tokens: Tensor) -> Tensor:
        """Scene logits (B, scenes) of embedded images (B, 1 + patches, width), from `GRMPIQA.tokens`."""
        features = project_image(self.visual, encode_image(self.visual, tokens))
        return self.logit_scale.exp() * features @ self.texts.T
