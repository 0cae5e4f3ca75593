"""Images in: decoding, distortions, drawn scenes."""
