#!/usr/bin/env python3
# Copyright The Millrace Authors.
# SPDX-License-Identifier: Apache-2.0
"""Train a small convolutional net on scikit-learn's digits with DistributedDataParallel.

The 1,797 images are part of the scikit-learn package, so nothing is downloaded. Every process reads its
place from MASTER_ADDR, MASTER_PORT, WORLD_SIZE and RANK; with none of them set it trains alone. Rank 0 prints
one line per epoch and a last line that starts with "result:". Exit code 1: the net did not learn.
"""

import argparse
import datetime
import os
import sys
import time

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

SEED = 1797
REQUIRED_ACCURACY = 0.95
TERMINATION_LOG = "/dev/termination-log"


def main() -> int:
    args = parse_arguments()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    rank, world = join(args.timeout)
    say(rank, f"rank {rank} of {world} ready: {vars(args)}")
    started = time.monotonic()
    accuracy = train(args, rank, world)
    took = time.monotonic() - started
    result = f"result: test accuracy {accuracy:.4f} after {args.epochs} epochs on {world} processes in {took:.1f}s"
    if rank == 0:
        say(rank, result)
        leave_message(result)
    leave()
    if accuracy < args.require:
        say(rank, f"test accuracy {accuracy:.4f} is below {args.require}", file=sys.stderr)
        return 1
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=positive, default=20)
    parser.add_argument("--batch-size", type=positive, default=48, help="images per step over all processes")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--hidden", "--width", dest="hidden", type=positive, default=64, help="units of the hidden layer")
    parser.add_argument("--require", type=float, default=REQUIRED_ACCURACY, help="test accuracy below which it fails; 0 in a search")
    parser.add_argument(
        "--checkpoint",
        default="",
        help="file to save to after each epoch; the processes begin where the furthest of their files ends",
    )
    parser.add_argument("--timeout", type=positive, default=300, help="seconds to wait for the other processes")
    faults = parser.add_argument_group("faults, to see what the platform does about them")
    faults.add_argument("--sleep", type=float, default=0, help="seconds to sleep after each epoch")
    faults.add_argument("--crash-at-epoch", type=int, default=0, help="exit at the start of this epoch; 0 never")
    faults.add_argument("--crash-rank", type=int, default=0, help="the rank that exits")
    faults.add_argument("--exit-code", type=int, default=1, help="its exit code")
    faults.add_argument(
        "--crash-marker",
        default="",
        help="file that says the crash has happened: with it, and a volume that outlives the container, crash once",
    )
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def join(timeout: int) -> "tuple[int, int]":
    """Meet the other processes and return this one's rank and the size of the world."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        dist.init_process_group("gloo", init_method="env://", timeout=datetime.timedelta(seconds=timeout))
    return rank, world


def leave() -> None:
    """Part only when all have finished: rank 0 hosts the store the others still talk to."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def load() -> "tuple[TensorDataset, TensorDataset]":
    """The digits as 8x8 images in [0, 1]; every fifth in shuffled order is for the test."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target, dtype=torch.int64)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SEED))
    held_out = torch.arange(len(labels)) % 5 == 0
    test, rest = order[held_out], order[~held_out]
    return TensorDataset(images[rest], labels[rest]), TensorDataset(images[test], labels[test])


def network(hidden: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )


def train(args: argparse.Namespace, rank: int, world: int) -> float:
    """Train and return the accuracy on the test images, the same number on every rank."""
    training, test = load()
    net = network(args.hidden)
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)
    done = restore(args.checkpoint, net, optimizer, world)
    if rank == 0 and done > 0:
        say(rank, f"resuming after epoch {done} on {world} processes")
    model = DistributedDataParallel(net) if world > 1 else net
    sampler = DistributedSampler(training, num_replicas=world, rank=rank, seed=SEED)
    loader = DataLoader(training, batch_size=max(1, args.batch_size // world), sampler=sampler)
    criterion = nn.CrossEntropyLoss()
    accuracy = evaluate(net, test)
    for epoch in range(done + 1, args.epochs + 1):
        crash(args, rank, epoch)
        sampler.set_epoch(epoch)
        model.train()
        total = torch.zeros(())
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        loss = mean(total / len(loader), world)
        accuracy = evaluate(net, test)
        save(args.checkpoint, net, optimizer, epoch)
        if rank == 0:
            say(rank, f"epoch={epoch} loss={loss:.4f} accuracy={accuracy:.4f}")
        time.sleep(args.sleep)
    return accuracy


def restore(file: str, net: nn.Module, optimizer: torch.optim.Optimizer, world: int) -> int:
    """Load the newest checkpoint that any process has, on all of them, and return its epoch; 0 when there is none."""
    saved = torch.load(file) if file and os.path.exists(file) else {"epoch": 0}
    if file and world > 1:
        epochs = [0] * world
        dist.all_gather_object(epochs, saved["epoch"])
        newest = [saved]
        dist.broadcast_object_list(newest, src=epochs.index(max(epochs)))
        saved = newest[0]
    if saved["epoch"] > 0:
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
    return saved["epoch"]


def save(file: str, net: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    """Replace the checkpoint, never half of it: the process may be killed at any time."""
    if not file:
        return
    torch.save({"epoch": epoch, "net": net.state_dict(), "optimizer": optimizer.state_dict()}, file + ".new")
    os.replace(file + ".new", file)


def mean(value: torch.Tensor, world: int) -> float:
    """The mean of a number over all processes."""
    if world > 1:
        dist.all_reduce(value)
    return (value / world).item()


def evaluate(model: nn.Module, test: TensorDataset) -> float:
    """The gradients were averaged, so every rank holds the same model and measures the same accuracy."""
    images, labels = test.tensors
    model.eval()
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


def crash(args: argparse.Namespace, rank: int, epoch: int) -> None:
    if epoch != args.crash_at_epoch or rank != args.crash_rank:
        return
    if args.crash_marker:
        if os.path.exists(args.crash_marker):
            return
        with open(args.crash_marker, "w", encoding="utf-8") as marker:
            marker.write(f"rank {rank} crashed at epoch {epoch}\n")
    say(rank, f"crashing on request at epoch {epoch} with exit code {args.exit_code}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(args.exit_code)  # as a segmentation fault would: no clean-up, no goodbye to the others


def say(rank: int, text: str, file=None) -> None:
    print(text, file=file or sys.stdout, flush=True)


def leave_message(text: str) -> None:
    """Leave the result where the kubelet reads a container's termination message."""
    try:
        with open(TERMINATION_LOG, "w", encoding="utf-8") as log:
            log.write(text + "\n")
    except OSError:
        return  # not in a pod, or not allowed: the log has the same line


if __name__ == "__main__":
    sys.exit(main())
