"""Made images and ratings: drawn scenes, distortions, pseudo-MOS, simulated observers, and the demo."""
