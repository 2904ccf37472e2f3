"""Judges in processes of their own, which meet wherever partitions tell each other something.

Each has a share of the partitions. They meet once or twice for each minute of event time, and at
every hour, each with each, over pipes. So the decisions are those of one process.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import msgspec

from models.share import Letter, Stretch
from streams.collector import spare_the_living
from streams.errors import OperatorError
from streams.judges import Judges, Outcome, Setup

#: A letter up to this size is sent before the others' are read. Two of them fit into the smallest
#: buffer that a system gives a pipe (8 KB), so that nobody waits for a reader who is sending.
_SMALL_BYTES_MAX = 2_048
#: Says that the letter comes afterwards.
_LARGE = b""
#: How long one may take to end who has nothing more to do.
_END_S = 5.0


class Failure(msgspec.Struct, array_like=True, tag="failure"):
    """What went wrong with a share: what an operator can mend, or a bug with its traceback."""

    why: str
    is_bug: bool


_encode = msgspec.msgpack.Encoder().encode
_decode_letter = msgspec.msgpack.Decoder(Letter).decode
_decode_stretches = msgspec.msgpack.Decoder(list[Stretch]).decode
_decode_answer = msgspec.msgpack.Decoder(Outcome | Failure).decode


class Crew:
    """Several processes that judge together.

    A context manager: leaving it ends them. Each has one batch to judge and none waiting.

    Parameters
    ----------
    setup
        What they judge by.
    jobs
        How many, 2 or more; no more are used than there are partitions.
    """

    def __init__(self, setup: Setup, jobs: int) -> None:
        jobs = min(jobs, setup.partitions)
        self._share_of = [n % jobs for n in range(setup.partitions)]
        # A fresh interpreter each: a fork would inherit threads and, of all pipes, every end.
        context = multiprocessing.get_context("spawn")
        mesh: list[dict[int, Connection]] = [{} for _ in range(jobs)]
        for a in range(jobs):
            for b in range(a + 1, jobs):
                mesh[a][b], mesh[b][a] = context.Pipe()
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        with _interrupts_held():
            for number in range(jobs):
                pipe, theirs = context.Pipe()
                process = context.Process(
                    target=_work,
                    args=(setup, self._share_of, number, theirs, mesh[number]),
                    name=f"pairwatch replay, share {number + 1} of {jobs}",
                    daemon=True,
                )
                process.start()
                self._pipes.append(pipe)
                self._processes.append(process)
                # Whoever ends is noticed only once nobody else holds its end of a pipe.
                for end in (theirs, *mesh[number].values()):
                    end.close()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def give(self, stretches: list[Stretch]) -> None:
        """Let them judge a batch; `take` what came of it before giving another."""
        for number, pipe in enumerate(self._pipes):
            mine = [
                Stretch(
                    stretch.ts,
                    stretch.last,
                    stretch.partitions,
                    [one for one in stretch.works if self._share_of[one.partition] == number],
                )
                for stretch in stretches
            ]
            try:
                pipe.send_bytes(_encode(mine))
            except OSError:
                self._fail()

    def take(self) -> list[Outcome]:
        """Wait for what came of the batch, share by share.

        Raises
        ------
        OperatorError
            A process was ended from outside.
        RuntimeError
            A bug, with its traceback.
        """
        outcomes = []
        for pipe in self._pipes:
            try:
                answer = _decode_answer(pipe.recv_bytes())
            except (EOFError, OSError):
                self._fail()
            outcomes.append(_checked(answer))
        return outcomes

    def _fail(self) -> None:
        """Say why one of them is gone: when one ends the others follow, as they can't go on."""
        for process in self._processes:
            process.join(_END_S)
        for pipe in self._pipes:
            try:
                while pipe.poll():
                    _checked(_decode_answer(pipe.recv_bytes()))
            except (EOFError, OSError):
                continue
        codes = [process.exitcode for process in self._processes if process.exitcode]
        how = signal.strsignal(-min(codes)) if codes and min(codes) < 0 else f"status {codes}"
        raise OperatorError(
            f"a process of --jobs ended before its work was done ({how}): is there enough memory?"
        )

    def close(self) -> None:
        """End them all."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(_END_S)
            if process.is_alive():
                process.kill()
                process.join()


def _checked(answer: Outcome | Failure) -> Outcome:
    if isinstance(answer, Outcome):
        return answer
    if answer.is_bug:
        raise RuntimeError(f"while judging in another process:\n{answer.why}")
    raise OperatorError(answer.why)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let processes start that leave Ctrl-C, which goes to all of them alike, to this one."""
    # It lets go of the signal once it is up: not in between.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(
    setup: Setup,
    share_of: Sequence[int],
    number: int,
    pipe: Connection,
    peers: dict[int, Connection],
) -> None:
    """Judge what is given until nothing more comes; runs in a process of its own."""
    spare_the_living()
    try:
        judges = Judges(setup, share_of, number, _Mail(number, peers).meet)
        while True:
            pipe.send_bytes(_encode(judges.judge(_decode_stretches(pipe.recv_bytes()))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the log is at its end, or another is gone and whoever gave the work says why
    except OperatorError as error:
        pipe.send_bytes(_encode(Failure(str(error), is_bug=False)))
    except Exception:
        pipe.send_bytes(_encode(Failure(traceback.format_exc(), is_bug=True)))


class _Mail:
    """One share's pipes to the others."""

    def __init__(self, number: int, peers: dict[int, Connection]) -> None:
        self._number = number
        self._peers = peers

    def meet(self, letters: list[Letter]) -> list[Letter]:
        """Hand out a letter to each share, and return those to this one."""
        sent = {number: _encode(letters[number]) for number in self._peers}
        for number, peer in self._peers.items():
            small = len(sent[number]) <= _SMALL_BYTES_MAX
            peer.send_bytes(sent[number] if small else _LARGE)
        received = {number: peer.recv_bytes() for number, peer in self._peers.items()}
        # The lower number of two speaks first, and each goes from low to high: the lowest pair
        # that is not done can always go on.
        for number, peer in sorted(self._peers.items()):
            speaks, listens = len(sent[number]) > _SMALL_BYTES_MAX, received[number] == _LARGE
            if speaks and self._number < number:
                peer.send_bytes(sent[number])
            if listens:
                received[number] = peer.recv_bytes()
            if speaks and self._number > number:
                peer.send_bytes(sent[number])
        return [letters[self._number], *map(_decode_letter, received.values())]
