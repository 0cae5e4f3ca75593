"""Synthetic data: drawn scenes, distortions, pseudo-MOS, a simulated observer, the demo's ratings."""
