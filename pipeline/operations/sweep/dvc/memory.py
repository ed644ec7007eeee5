"""What DVC works out again and again for a stage, kept while nothing can change it."""

import pickle
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.operations.sweep.dvc import writing

if TYPE_CHECKING:
    from dvc.dependency import Dependency
    from dvc.repo import Repo


class Memory:
    """What DVC works out again and again for a stage, kept while nothing can change it.

    - A stage's params: parsing params.yaml and looking them up takes 20 ms, five times a stage. They are read once, so
      all stages of a sweep have the params that it began with, whatever is edited meanwhile.
    - Hashes of dependencies: of what stages made for good, of sources until the next stage asks (``next_stage``).
    - The list of paths that are read or written by commands, kept in a file that is rewritten ten times a stage:
      nobody else may read or write while DVC's lock is held.

    What DVC keeps itself for no use is forgotten: listings of folders, all of which it looks through for each new one.
    """

    def __init__(self) -> None:
        self._params: dict[Any, bytes] = {}
        self._made: dict[tuple[str, str], Any] = {}  # by path and kind of hash
        self._sources: dict[tuple[str, str], Any] = {}
        self.is_source: Callable[[Dependency], bool] = lambda dep: True

    def next_stage(self) -> None:
        """Forget what may have changed since the last one, and the listings that nobody asks for again."""
        from fsspec.implementations.memory import MemoryFileSystem

        self._sources.clear()
        MemoryFileSystem.store.clear()

    def forget(self, dep: "Dependency") -> None:
        for key in [key for key in self._made if key[0] == dep.fs_path]:
            del self._made[key]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """DVC asks this memory first."""
        from dvc import rwlock
        from dvc.dependency import base, param
        from dvc.utils import serialize

        read, load, build = param.read_param_file, cache(param.load_path), base.Dependency._build

        def read_once(
            fs: Any, path: str, key_paths: list[str] | None = None, flatten: bool = False, **rest: Any
        ) -> Any:
            key = (path, tuple(key_paths or ()), flatten)
            if key not in self._params:
                self._params[key] = pickle.dumps(read(fs, path, key_paths, flatten, **rest))
            # A copy each time: a lock file would refer from one stage's values to another's where they are one object.
            return pickle.loads(self._params[key])

        def build_once(dep: "Dependency", cache: Any, path: str, fs: Any, name: str, **options: Any) -> Any:
            known = self._sources if self.is_source(dep) else self._made
            if (path, name) not in known:
                known[path, name] = build(dep, cache, path, fs, name, **options)
            return known[path, name]

        with (
            _replaced(param, "load_path", load),
            _replaced(param, "read_param_file", read_once),
            _replaced(base.Dependency, "_build", build_once),
            _replaced(rwlock, "rwlock", lambda *_: nullcontext()),
            _replaced(serialize, "dump_yaml", writing.dump),
        ):
            yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def links_open(repo: "Repo") -> Iterator[None]:
    """Keep a second connection to the database of links, which DVC opens and closes for each output.

    SQLite brings all to the disk when the last connection closes: 14 ms a time.
    """
    links = getattr(repo.state, "links", None)
    if links is None:
        yield
        return
    with closing(sqlite3.connect(Path(links.directory) / "cache.db")) as connection:
        connection.execute("SELECT 1 FROM Cache LIMIT 1").fetchone()
        yield
