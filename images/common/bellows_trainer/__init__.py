"""What the trainers of all families share. A family's own `train.py` reads from top to bottom; this is its devEnvironment."""
