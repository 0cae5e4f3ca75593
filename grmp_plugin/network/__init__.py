"""The network: CLIP, prompts, preprocessing, checkpoints."""
