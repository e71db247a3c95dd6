"""Other people's code: their trainers and datasets here, our methods and our engine there."""
