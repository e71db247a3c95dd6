"""`python -m trainers export` copies methods into a checkout of CoOp or MaPLe; `new` creates one from a pattern."""
