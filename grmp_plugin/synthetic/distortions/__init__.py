"""Synthetic image distortions: 30 kinds of five levels each, after TID2013 and KADID-10k."""

from grmp_plugin.synthetic.distortions.bank import DISTORTIONS, distort, distortion_table
from grmp_plugin.synthetic.distortions.distortion import Distortion

__all__ = ["DISTORTIONS", "Distortion", "distort", "distortion_table"]
