"""GRMP-IQA: CLIP with learned prompts, read as a quality metric."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grmp_plugin.errors import BackboneError, ConfigError, VocabularyError
from grmp_plugin.network.cache import WeightCache
from grmp_plugin.network.checkpoint import Checkpoint, complete_tensors
from grmp_plugin.network.clip import build_clip, clip_config_of
from grmp_plugin.network.head import HeadInputs, LinearHead, has_head
from grmp_plugin.network.models import find_checkpoint
from grmp_plugin.network.preprocess import make_views, normalize
from grmp_plugin.network.prompts import TextPrompt, VisualPrompts
from grmp_plugin.network.sizes import check_prior, check_sizes, check_vocabulary
from grmp_plugin.network.texts import TokenizedTexts, tokenize
from grmp_plugin.network.towers import (
    KeysValues,
    embed_pixels,
    embed_statistics,
    embed_text,
    encode_image,
    encode_text,
    pass_blocks,
    pass_text_blocks,
    project_image,
    project_text,
)
from grmp_plugin.network.trunk import ConvTrunk


class GRMPIQA(nn.Module):
    """Blind image quality: the softmax weight of "high quality" over "low quality".

    A model that was adapted by ridge regression has a linear head, which adds image features to the prompts'
    logit.

    In evaluation mode the prompts' keys and values and the text features are cached until a weight changes.
    In training mode, or while weights require gradients, every call computes them.

    Args:
        model: A model name (`grmp_iqa`, `grmp_iqa-tiny`), a checkpoint file, or a `Checkpoint`.
        pretrained_model_path: pyiqa's keyword for a checkpoint file; overrides `model`.

    Raises:
        CheckpointError, BackboneError, WeightsUnavailableError: When the weights cannot be loaded.

    Source: "Few-Shot Image Quality Assessment via Adaptation of Vision-Language Models", arXiv:2409.05381.
    """

    vocabulary: Tensor | None
    head_prior: Tensor | None

    def __init__(
        self, model: "str | Checkpoint" = "grmp_iqa-tiny", *, pretrained_model_path: str | None = None
    ) -> None:
        super().__init__()
        checkpoint = (
            model if isinstance(model, Checkpoint) else find_checkpoint(pretrained_model_path or model)
        )
        self.config = config = checkpoint.config
        self.info = dict(checkpoint.info)
        vocabulary = checkpoint.tensors.get("vocabulary")
        if vocabulary is not None:
            check_vocabulary(vocabulary, checkpoint.source)
        try:
            check_sizes(config, clip_config_of(config.backbone))
            self.clip = build_clip(config.backbone, None if vocabulary is None else len(vocabulary))
        except (BackboneError, ConfigError) as error:
            raise type(error)(f"{checkpoint.source}: {error.message}") from error
        visual = self.clip.visual
        blocks, width = len(visual.transformer.resblocks), visual.class_embedding.shape[0]
        with torch.device("meta"):
            self.text_prompt = TextPrompt(config.context_tokens, self.clip.positional_embedding.shape[1])
            self.visual_prompts = VisualPrompts(blocks, config.visual_prompts, width, config.prompt_dropout)
            self._add_head(checkpoint)
        self.register_buffer("vocabulary", vocabulary)
        self.load_state_dict(complete_tensors(checkpoint, self.state_dict()), assign=True)
        self._cache = WeightCache()
        try:
            self._quality_tokens()
        except VocabularyError as error:
            raise VocabularyError(f"{checkpoint.source}: quality_texts: {error.message}") from error
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Quality of each image.

        Args:
            x: (N, 3, H, W) RGB or (N, 1, H, W) grey, in [0, 1], any H, W >= 1.

        Returns:
            (N, 1) in [0, 1], higher is better; independent of the other images in the batch.

        Raises:
            ImageError: When `x` is not such a tensor.
        """
        return self.score_views(make_views(x, self.config.preprocess))

    def score_views(self, views: Tensor) -> Tensor:
        """Quality of images given as views, averaged over the views of an image.

        Args:
            views: (N, V, 3, S, S) in [0, 1], from `make_views`.

        Returns:
            (N, 1) in [0, 1].
        """
        tokens, statistics = self.embed(normalize(views.flatten(0, 1), self.config.preprocess))
        shape = views.shape[:2]
        mean = None if statistics is None else statistics.unflatten(0, shape).mean(1)
        return self.score_tokens(tokens.unflatten(0, shape), statistics=mean)

    def score_tokens(self, tokens: Tensor, block: int = 0, *, statistics: Tensor | None = None) -> Tensor:
        """Quality of images given as the tokens of their views, averaged over the views of an image.

        Args:
            tokens: (N, V, 1 + patches, width), from `tokens` or `pass_first_blocks`.
            block: Index of the image block that they enter.
            statistics: (N, G) standardised statistics of the trunk, mean over the views; for a linear head.

        Returns:
            (N, 1) in [0, 1].
        """
        if self.head is not None:
            logits: Tensor = self.head(self.head_inputs(tokens, block, statistics=statistics))
            return logits.sigmoid()[:, None]
        quality = self.quality_logits(self.token_features(tokens.flatten(0, 1), block)).softmax(-1)[:, 0]
        return quality.view(tokens.shape[:2]).mean(dim=1, keepdim=True)

    def head_inputs(self, tokens: Tensor, block: int = 0, *, statistics: Tensor | None = None) -> HeadInputs:
        """What a linear head reads; arguments as for `score_tokens`."""
        features = self.token_features(tokens.flatten(0, 1), block)
        logits = self.quality_logits(features)
        shape = tokens.shape[:2]
        logit = (logits[:, 0] - logits[:, 1]).view(shape).mean(1)
        return HeadInputs(logit, features.unflatten(0, shape).mean(1), statistics)

    def image_features(self, pixels: Tensor) -> Tensor:
        """Image features under the visual prompts.

        Args:
            pixels: (B, 3, S, S), normalised.

        Returns:
            (B, D), L2-normalised.
        """
        return self.token_features(self.tokens(pixels))

    def tokens(self, pixels: Tensor) -> Tensor:
        """Class and patch tokens (B, 1 + patches, width) of pixels (B, 3, S, S), before the first block."""
        return self.embed(pixels)[0]

    def embed(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens as `tokens` returns them, and what a linear head reads beside them.

        Args:
            pixels: (B, 3, S, S), normalised.

        Returns:
            (B, 1 + patches, width), and standardised statistics (B, G) of the trunk; None without a trunk.
        """
        visual = self.clip.visual
        pixels = pixels.to(visual.class_embedding.dtype)
        if not isinstance(visual.conv1, ConvTrunk):
            return embed_pixels(visual, pixels), None
        statistics = visual.conv1.net.statistics(pixels)
        return embed_statistics(visual, statistics), visual.conv1.standardized_view(statistics.view)

    def pass_first_blocks(self, tokens: Tensor, block: int) -> Tensor:
        """Tokens (B, 1 + patches, width) that enter an image block under the visual prompts."""
        prompts = self._visual_keys_values(len(tokens), range(block))
        return pass_blocks(self.clip.visual, tokens, prompts, range(block))

    def token_features(self, tokens: Tensor, block: int = 0) -> Tensor:
        """Image features (B, D) under the visual prompts, from the tokens that enter an image block."""
        visual = self.clip.visual
        prompts = self._visual_keys_values(len(tokens), range(block, len(visual.transformer.resblocks)))
        class_token = encode_image(visual, tokens, prompts, first=block)
        return project_image(visual, self.visual_prompts.finish(class_token))

    def quality_logits(self, features: Tensor) -> Tensor:
        """Logits (B, 2) of high and low quality from image features (B, D)."""
        return self._logits(features, self.quality_text_features())

    def scene_logits(self, features: Tensor) -> Tensor:
        """Logits (B, scenes) of the semantic task from image features (B, D).

        Raises:
            VocabularyError: When the model has no embeddings for the scenes' words.
        """
        return self._logits(features, self.scene_text_features())

    def quality_text_features(self) -> Tensor:
        """Features (2, D) of the two quality texts after the learned context, L2-normalised."""

        def compute() -> Tensor:
            tokens = self._quality_tokens()
            embeddings = self.text_prompt(self._embeddings(tokens))
            return encode_text(
                self.clip, embeddings, tokens.end.to(embeddings.device) + self.config.context_tokens
            )

        result: Tensor = self._remembered("quality", [self.text_prompt.ctx, *self._text_tower()], compute)
        return result

    def scene_text_features(self) -> Tensor:
        """Features (scenes, D) of the scene texts, L2-normalised.

        Text blocks before the first one that learns are evaluated once, in training, too.

        Raises:
            VocabularyError: When the model has no embeddings for the scenes' words.
        """

        def compute() -> Tensor:
            tokens = self._tokenized(self.config.scene_texts)
            blocks = self.clip.transformer.resblocks
            learned = [i for i, b in enumerate(blocks) if any(p.requires_grad for p in b.parameters())]
            first = min(learned, default=len(blocks))
            weights = [*self._text_input(), *(p for block in blocks[:first] for p in block.parameters())]

            def before() -> Tensor:
                embedded = embed_text(self.clip, self._embeddings(tokens))
                return pass_text_blocks(self.clip, embedded, range(first))

            entering: Tensor = self._cache.get(f"scenes before block {first}", weights, before)
            passed = pass_text_blocks(self.clip, entering, range(first, len(blocks)))
            return project_text(self.clip, passed, tokens.end.to(passed.device))

        result: Tensor = self._remembered("scenes", list(self._text_tower()), compute)
        return result

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Features (T, D) of any texts from the text tower, without learned context; L2-normalised.

        Raises:
            VocabularyError: When the model has no embedding for a word.
        """
        tokens = self._tokenized(texts)
        embeddings = self._embeddings(tokens)
        return encode_text(self.clip, embeddings, tokens.end.to(embeddings.device))

    def plain_image_features(self, pixels: Tensor) -> Tensor:
        """Image features of the backbone alone, without prompts: (B, 3, S, S) -> (B, D)."""
        return project_image(self.clip.visual, encode_image(self.clip.visual, self.tokens(pixels)))

    def _add_head(self, checkpoint: Checkpoint) -> None:
        visual = self.clip.visual
        features = visual.proj.shape[1]
        trunk = visual.conv1
        statistics = trunk.net.statistics_sizes()[1] if isinstance(trunk, ConvTrunk) else 0
        self.head = LinearHead(features, statistics) if has_head(checkpoint) else None
        # (G, rank): directions in which quality shows in the statistics, for fitting a head.
        prior = checkpoint.tensors.get("head_prior")
        if prior is not None:
            check_prior(prior, statistics, checkpoint.source)
        self.register_buffer("head_prior", None if prior is None else torch.zeros(prior.shape))

    def _logits(self, images: Tensor, texts: Tensor) -> Tensor:
        # Logits are in the tens; in half precision their differences, which make the score, would be lost.
        with torch.autocast(images.device.type, enabled=False):
            result: Tensor = self.clip.logit_scale.to(images.dtype).exp() * images @ texts.to(images.dtype).T
            return result

    def _visual_keys_values(self, batch: int, numbers: Sequence[int]) -> dict[int, KeysValues]:
        """Keys and values of the prompts in at least the numbered image blocks."""
        blocks = self.clip.visual.transformer.resblocks
        # With dropout every call draws its own masks, even if only the prompts are in training mode.
        if self.training or self.visual_prompts.training:
            return self.visual_prompts.keys_values(blocks, batch, numbers)
        weights = list(self.visual_prompts.parameters())
        for block in blocks:
            weights += [*block.ln_1.parameters(), block.attn.in_proj_weight, block.attn.in_proj_bias]
        result: dict[int, KeysValues] = self._cache.get(
            "prompts", weights, lambda: self.visual_prompts.keys_values(blocks)
        )
        return result

    def _text_input(self) -> Iterator[Tensor]:
        if self.vocabulary is not None:
            yield self.vocabulary
        yield from (self.clip.token_embedding.weight, self.clip.positional_embedding)

    def _text_tower(self) -> Iterator[Tensor]:
        clip: Any = self.clip
        yield from self._text_input()
        yield from clip.transformer.parameters()
        yield from clip.ln_final.parameters()
        if isinstance(clip.text_projection, nn.Module):
            yield from clip.text_projection.parameters()
        elif clip.text_projection is not None:
            yield clip.text_projection

    def _embeddings(self, tokens: TokenizedTexts) -> Tensor:
        weight = self.clip.token_embedding.weight
        return F.embedding(tokens.rows.to(weight.device), weight)

    def _tokenized(self, texts: Sequence[str], context: int = 0) -> TokenizedTexts:
        return tokenize(texts, self.vocabulary, len(self.clip.positional_embedding) - context)

    def _quality_tokens(self) -> TokenizedTexts:
        return self._tokenized(self.config.quality_texts, self.config.context_tokens)

    def _remembered(self, name: str, weights: Iterable[Tensor], compute: Any) -> Any:
        return compute() if self.training else self._cache.get(name, list(weights), compute)
