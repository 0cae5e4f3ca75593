"""The digest of a network in memory, by which runs and cached scores know it again."""

import hashlib
import json

import torch

from grmp_plugin.config import to_dict
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA


def network_digest(network: Checkpoint | GRMPIQA) -> str:
    """SHA-256 of the configuration and the tensors of a network in memory."""
    tensors = network.state_dict() if isinstance(network, GRMPIQA) else network.tensors
    content = hashlib.sha256(json.dumps(to_dict(network.config), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        content.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        content.update(tensor.flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()
