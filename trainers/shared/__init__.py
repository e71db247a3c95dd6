"""What all methods use: the backbone, checkpoints, precision, the training list, features of test images."""
