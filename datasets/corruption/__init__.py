"""The corruptions of ImageNet-C (Hendrycks and Dietterich, ICLR 2019): on one picture, and as sets on disk."""
