"""One finetuning in several processes, joined by accelerate: a GPU each, or on the CPU by gloo.

Every process holds the whole model and sees its share of each batch; gradients are averaged before
each step, so all of them take the same step and end with the same weights.
"""

import os
import socket
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from accelerate.utils import PrepareForLaunch, patch_environment
from torch.multiprocessing.spawn import spawn

from sift_core.errors import ReplicaError, SiftCoreError


def in_processes(count: int, device: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work(*arguments)` gives in the first of `count` processes that work together.

    `work` and its arguments go through a pipe, never through a file. A SiftCoreError of the first
    process is raised here. Raises ReplicaError where a process ends without an answer.
    """
    receive, send = get_context("spawn").Pipe(duplex=False)
    on_gpu = device != "cpu"
    launched = PrepareForLaunch(_work, "MULTI_GPU" if on_gpu else "MULTI_CPU")
    joined = {
        "world_size": count,
        "master_addr": "127.0.0.1",
        "master_port": _free_port(),
        "accelerate_use_cpu": "no" if on_gpu else "yes",
        **({"gloo_socket_ifname": "lo"} if sys.platform == "linux" else {}),
    }
    with patch_environment(**joined):
        shared = (send, torch.get_num_threads(), work, arguments)
        context = spawn(launched, shared, count, join=False)  # type: ignore[no-untyped-call]
    send.close()  # else the end of all processes would not be the end of what is received
    try:
        failed, answer = receive.recv()
    except EOFError as error:
        raise ReplicaError(
            f"None of {count} processes gave an answer.",
            remedy="see what they printed; finetune.processes: 1 does without them.",
        ) from error
    while not context.join():
        pass
    if failed:
        kind, facts, remedy = answer
        raise kind(facts, remedy=remedy)
    return answer


def _work(
    send: Connection, threads: int, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """What each process runs."""
    torch.set_num_threads(threads)
    try:
        answer = False, work(*arguments)
    except SiftCoreError as error:
        answer = True, (type(error), error.facts, error.remedy)
    if os.environ["RANK"] == "0":
        send.send(answer)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def require_same_everywhere(sha256: str) -> None:
    """Raise ReplicaError unless all processes say the same: drifting replicas are no finetuning."""
    found = [""] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, sha256)
    if len(set(found)) > 1:
        raise ReplicaError(
            f"{len(set(found))} of {len(found)} processes ended with other weights.",
            remedy="the devices do not compute alike: use equal ones, or finetune.processes: 1.",
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
