"""python -m bench run SUITE.yaml --launcher local|slurm: runs what is not done.

local: --jobs runs at a time, each worker on one of --gpus. After Ctrl-C the same command continues the runs. If the
command is started twice, the two share the runs. When all runs of blocks with `select` are done, a value is chosen
(docs/selection.md), and the blocks that wait for it are run. slurm: runs as tasks of array jobs, see docs/cluster.md.
With both, --stack R trains R runs that differ in seed, label noise or a rate as one, and --from OUTPUT takes finished
runs of other suites (docs/running.md).
"""

from __future__ import annotations

import argparse

from dassl.utils import InputError
from dassl.utils.screen import Screen

from ..running.taking import check_sources, take
from ..slurm import options as slurm_options
from ..suites.options import add_from, add_stack, add_suite_options, check_stack, open_suite


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("run", help="run what is not done", description=__doc__, formatter_class=Screen)
    add_suite_options(parser)
    parser.add_argument("--launcher", choices=("local", "slurm"), default="local")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a GPU; without GPUs 2)")
    add_from(parser)
    add_stack(parser)
    parser.add_argument("--gpus", default="all", help="all, none, or numbers such as 0,1 (default: all)")
    slurm_options.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    suite = open_suite(args)
    check_stack(args.stack)
    check_sources(args.sources, suite.output)
    if args.launcher == "slurm":
        from ..slurm import arrays as slurm

        take(suite, args.sources)
        return slurm.submit(suite, args)
    if unused := list(slurm_options.given(args)):
        raise InputError(f"--{unused[0]} is for --launcher slurm; leave it out, or give that.")
    from ..running.gpus import check_gpus, gpus_of
    from ..running.local import default_jobs, run_suite

    gpus = gpus_of(args.gpus)
    if args.gpus != "all":
        check_gpus(gpus)
    jobs = default_jobs(gpus) if args.jobs is None else args.jobs
    take(suite, args.sources)
    code = run_suite(suite, jobs, gpus, args.stack)
    if code or not suite.waiting:
        return code
    from ..running.selection import told, write_choice

    print(f"\n{told(write_choice(suite))}\n")  # noqa: T201
    suite = open_suite(args)  # with the blocks that waited
    take(suite, args.sources)
    return run_suite(suite, jobs, gpus, args.stack)
