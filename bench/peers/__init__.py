"""Other queues on the same Redis: a module each, run in a virtualenv of its own (bench/peers/catalogue.py)."""
