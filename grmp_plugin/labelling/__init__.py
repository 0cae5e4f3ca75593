"""Collecting ratings: which pictures to rate, the session of the raters, the page, and what comes out."""
