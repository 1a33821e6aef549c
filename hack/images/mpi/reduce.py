#!/usr/bin/env python3
# Copyright The Millrace Authors.
# SPDX-License-Identifier: Apache-2.0
"""Reduce two sums over all MPI processes: the squares of the ranks, and pi by the midpoint rule.

Rank 0 prints one line that starts with "result:". Exit code 1: a sum is wrong, or there are fewer processes than asked for.
"""

import argparse
import math
import sys
import time

from mpi4py import MPI

INTERVALS = 300_000


def main() -> int:
    args = parse_arguments()
    comm = MPI.COMM_WORLD
    rank, size = comm.Get_rank(), comm.Get_size()
    for step in range(1, args.rounds + 1):
        squares = comm.allreduce(rank * rank, op=MPI.SUM)
        pi = comm.allreduce(share_of_pi(rank, size), op=MPI.SUM)
        if rank == 0 and args.rounds > 1:
            print(f"round {step} of {args.rounds}", flush=True)
        time.sleep(args.sleep)
    hosts = comm.gather(MPI.Get_processor_name(), root=0)
    if rank == 0:
        print(f"result: squares {squares}, pi {pi:.6f}, by {size} processes on {len(set(hosts))} hosts: {' '.join(sorted(hosts))}", flush=True)
    n = size - 1
    right = squares == n * (n + 1) * (2 * n + 1) // 6 and abs(pi - math.pi) < 1e-9
    return 0 if right and size >= args.processes else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--processes", type=int, default=1, help="the least number of processes")
    parser.add_argument("--rounds", type=int, default=1, help="how often to reduce")
    parser.add_argument("--sleep", type=float, default=0, help="seconds to sleep after each round")
    return parser.parse_args()


def share_of_pi(rank: int, size: int) -> float:
    return sum(4 / (1 + ((i + 0.5) / INTERVALS) ** 2) for i in range(rank, INTERVALS, size)) / INTERVALS


if __name__ == "__main__":
    sys.exit(main())
