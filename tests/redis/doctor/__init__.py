"""`coord doctor`: one fault planted in a healthy installation, and that fault found."""
