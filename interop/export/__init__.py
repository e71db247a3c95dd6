"""Tools around a method: `python -m trainers export` takes it into a checkout of CoOp or MaPLe, `new` starts one."""
