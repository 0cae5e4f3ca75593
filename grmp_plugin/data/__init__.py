"""Images and ratings: finding and decoding files, reading ratings, drawing shots."""
