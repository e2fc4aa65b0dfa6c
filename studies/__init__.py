"""Studies: what isodepth finds on real models and texts, from the first command to the pictures."""
