"""Caches for what DVC would compute repeatedly for each stage."""

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
    """Caches what DVC would compute repeatedly for each stage, for as long as it can't change.

    - A stage's params: parsing params.yaml and looking them up takes 20 ms, five times per stage. They are read once.
      All stages of a sweep use the params that it began with, even if params.yaml is edited meanwhile.
    - Hashes of dependencies: those of stage outputs until ``forget``, those of sources until ``next_stage``.
    - DVC's file of paths that commands read or write, which it rewrites ten times per stage, is not used: no other
      command may read or write while DVC's lock is held.

    DVC also caches folder listings that it does not need, and searches all of them for each new one. ``next_stage``
    removes them.
    """

    def __init__(self) -> None:
        self._params: dict[Any, bytes] = {}
        self._made: dict[tuple[str, str], Any] = {}  # by path and name of the hash
        self._sources: dict[tuple[str, str], Any] = {}
        self.is_source: Callable[[Dependency], bool] = lambda dep: True

    def next_stage(self) -> None:
        """Forget what may have changed since the last stage, and DVC's folder listings, which are not needed again."""
        from fsspec.implementations.memory import MemoryFileSystem

        self._sources.clear()
        MemoryFileSystem.store.clear()

    def forget(self, dep: "Dependency") -> None:
        for key in [key for key in self._made if key[0] == dep.fs_path]:
            del self._made[key]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Make DVC use these caches in the block."""
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
            # A copy each time: values that are one object would become YAML references between stages in a lock file.
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

    SQLite writes everything to disk when the last connection closes, which takes 14 ms each time.
    """
    links = getattr(repo.state, "links", None)
    if links is None:
        yield
        return
    with closing(sqlite3.connect(Path(links.directory) / "cache.db")) as connection:
        connection.execute("SELECT 1 FROM Cache LIMIT 1").fetchone()
        yield
