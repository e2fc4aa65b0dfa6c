"""Which of many machines computes an artifact, when all they share is an object store?

A lease is an object that its holder creates, rewrites every few seconds while it works (its beat), and
removes at the end. A holder that was killed stops rewriting: a lease whose content another machine has
seen unchanged for long, on its own clock, is stale and is taken over. So no clock is compared with
another machine's.

A lease spares work; no result depends on it. Two machines that both believe to hold one (a network that
was cut for a minute, say) compute the same artifact twice, and the store takes either.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable

from isodepth.errors import StoreError
from isodepth.store.remote_files import RemoteFiles

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
"""Six beats: a machine that is busy, or a network that hangs for a while, loses nothing."""
SETTLE_SECONDS = 1.0
"""How long a write may be under way where nothing but reading back tells who was last."""


class Lease:
    """The right to compute one artifact, held by this process and kept alive by a thread of it."""

    def __init__(
        self,
        files: RemoteFiles,
        name: str,
        *,
        token: str,
        holder: str,
        on_beat: Callable[[], None],
    ) -> None:
        self._files = files
        self._name = name
        self._token = token
        self._holder = holder
        self._on_beat = on_beat
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease {name}", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        n_beats = 0
        while not self._released.wait(BEAT_SECONDS):
            try:
                if not self._is_mine():
                    return  # this machine was silent for too long and another one took over
                n_beats += 1
                self._files.write(
                    self._name, content(token=self._token, holder=self._holder, n_beats=n_beats)
                )
                self._on_beat()
            except StoreError:
                continue  # the work itself tells of a network that stays away; the next beat may pass

    def _is_mine(self) -> bool:
        found = self._files.read(self._name)
        return found is not None and told(found, "token") == self._token

    def release(self) -> None:
        """Give the right back; a lease that cannot be removed becomes stale by itself."""
        self._released.set()
        self._thread.join()
        try:
            if self._is_mine():
                self._files.remove(self._name)
        except StoreError:
            return


class Leases:
    """The leases of a remote store, as one process sees them.

    Parameters
    ----------
    files : RemoteFiles
        The store's objects.
    holder : str
        Who asks. Whoever else has this name cannot be at work: the caller makes sure of that.
    on_beat : callable
        Called with every beat of a lease that is held.
    """

    def __init__(self, files: RemoteFiles, *, holder: str, on_beat: Callable[[], None]) -> None:
        self._files = files
        self._holder = holder
        self._on_beat = on_beat
        self._seen: dict[str, tuple[bytes, float]] = {}

    def take(self, name: str) -> Lease | None:
        """Return a lease, new or taken over from one that is stale; None where another one has it."""
        token = uuid.uuid4().hex
        mine = content(token=token, holder=self._holder, n_beats=0)
        is_sure = self._files.refuses_atomically
        if not self._files.create(name, mine):
            found = self._files.read(name)
            if found is not None:
                if not self.is_stale(name, found):
                    return None
                self._files.remove(name)
                # another machine may have judged as this one did, and remove what is created now
                is_sure = False
            if not self._files.create(name, mine):
                return None
        if not is_sure:
            time.sleep(SETTLE_SECONDS)
            if self._files.read(name) != mine:
                return None
        return Lease(self._files, name, token=token, holder=self._holder, on_beat=self._on_beat)

    def is_held(self, name: str) -> bool:
        """Return whether a lease is there that is not known to be stale."""
        found = self._files.read(name)
        return found is not None and not self.is_stale(name, found)

    def kept_alive(self, names: Iterable[str]) -> list[str]:
        """Return those of the leases that somebody keeps alive.

        Each is watched until its content changes or it is stale, for `STALE_SECONDS` at the most.
        """
        alive: list[str] = []
        first = {name: self._files.read(name) for name in names}
        watched = {name: found for name, found in first.items() if found is not None}
        while watched := {one: seen for one, seen in watched.items() if not self.is_stale(one, seen)}:
            time.sleep(BEAT_SECONDS / 5)
            for name, before in list(watched.items()):
                found = self._files.read(name)
                if found != before:
                    del watched[name]
                    if found is not None:
                        alive.append(name)
        return alive

    def is_stale(self, name: str, found: bytes) -> bool:
        """Return whether nobody keeps a lease alive, as far as this process has seen."""
        if told(found, "holder") == self._holder:
            return True
        before = self._seen.get(name)
        if before is None or before[0] != found:
            self._seen[name] = (found, time.monotonic())
            return False
        return time.monotonic() - before[1] >= STALE_SECONDS


def content(*, token: str, holder: str, n_beats: int) -> bytes:
    """Return what a lease object holds; "at" is for people, who may read it."""
    described = {"token": token, "holder": holder, "n_beats": n_beats, "at": time.time()}
    return json.dumps(described).encode()


def told(found: bytes, name: str) -> object:
    """Return one value of a lease object, or None where it cannot be read."""
    try:
        return json.loads(found)[name]
    except (ValueError, KeyError, TypeError):
        return None
