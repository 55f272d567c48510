"""`make demo`: the main job, end to end, with a played model."""
