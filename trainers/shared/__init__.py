"""What every method stands on: the backbone, checkpoints, precision, the training list, features of test images."""
