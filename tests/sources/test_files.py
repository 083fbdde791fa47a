"""Manifests read from real folders, and changes of them noticed."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mirrorgate.sources import files
from mirrorgate.sources.files import FileSource, Reading


def texts(reading: Reading) -> list[str]:
    assert not reading.problems, reading.problems
    return [text for _, text in reading.files]


def write(path: Path, text: str) -> None:
    """Write as an editor does in place; a file on a local disk does not hold up a test's loop."""
    path.write_text(text)


def messages(reading: Reading) -> list[str]:
    return [problem.message for problem in reading.problems]


# read


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    """Manifests of every suffix and depth; hidden files, backups and others are left out."""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b.yaml", "a.yml", "c.json", "sub/d.yaml", ".hidden.yaml", ".git/x.yaml", "a.yaml~", "README.md"):
        (tmp_path / name).write_text(name)
    reading = FileSource([tmp_path]).read()
    assert reading.problems == ()
    assert reading.files == tuple((str(tmp_path / name), name) for name in ("a.yml", "b.yaml", "c.json", "sub/d.yaml"))


def test_given_files_keep_their_order_and_any_name(tmp_path: Path) -> None:
    """A file that is named outright needs no suffix; one that is reached twice is read once."""
    (tmp_path / "z.conf").write_text("z")
    (tmp_path / "a.yaml").write_text("a")
    assert texts(FileSource([tmp_path / "z.conf", tmp_path, tmp_path / "z.conf"]).read()) == ["z", "a"]


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfkind: X")
    assert texts(FileSource([tmp_path]).read()) == ["kind: X"]


def test_problems_are_collected(tmp_path: Path) -> None:
    """Everything that cannot be read is listed, with its place, beside what can."""
    (tmp_path / "good.yaml").write_text("fine")
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "empty").mkdir()
    paths = [tmp_path, tmp_path / "missing.yaml", tmp_path / "pipe", tmp_path / "empty", Path("nul\0byte")]
    reading = FileSource(paths).read()
    assert reading.files == ((str(tmp_path / "good.yaml"), "fine"),)
    found = {(Path(problem.file).name, problem.line, problem.message) for problem in reading.problems}
    assert found == {
        ("dangling.yaml", None, "the path does not exist"),
        ("missing.yaml", None, "the path does not exist"),
        ("pipe", None, "the path is neither a regular file nor a folder"),
        ("empty", None, "the folder holds no manifests"),
        ("nul\0byte", None, "the path cannot be read: it contains a NUL"),
        ("latin.yaml", 2, "the file is not UTF-8: invalid continuation byte"),
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_unreadable_files_are_problems(tmp_path: Path) -> None:
    """A file or folder without permission names the reason."""
    (tmp_path / "a.yaml").write_text("a")
    (tmp_path / "a.yaml").chmod(0)
    (tmp_path / "b").mkdir(0)
    reading = FileSource([tmp_path]).read()
    (tmp_path / "b").chmod(0o700)
    assert messages(reading) == [
        "the path cannot be read: Permission denied",
        "the file cannot be read: Permission denied",
    ]


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a folder and the whole may not be too large."""
    for number in range(4):
        (tmp_path / f"{number}.yaml").write_text("x" * (number + 1))
    monkeypatch.setattr(files, "MAX_FILE", 3)
    assert messages(FileSource([tmp_path]).read()) == ["the file is larger than 0 MiB"]
    monkeypatch.setattr(files, "MAX_FILE", 100)
    monkeypatch.setattr(files, "MAX_TOTAL", 3)
    assert messages(FileSource([tmp_path]).read()) == ["the manifests are larger than 0 MiB together"]
    monkeypatch.setattr(files, "MAX_FILES", 2)
    assert "the folder holds more than 2 manifests" in messages(FileSource([tmp_path]).read())


def test_folders_that_contain_themselves_are_read_once(tmp_path: Path) -> None:
    """Links that lead in a circle end, and too deep a tree is a problem."""
    (tmp_path / "a.yaml").write_text("a")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert texts(FileSource([tmp_path]).read()) == ["a"]
    deep = tmp_path.joinpath(*["d"] * 33)
    deep.mkdir(parents=True)
    (deep / "b.yaml").write_text("b")
    assert messages(FileSource([tmp_path]).read()) == ["the folder lies more than 32 levels deep"]


def test_a_name_that_is_not_utf8_can_be_shown(tmp_path: Path) -> None:
    """The file is read, and its name can be printed."""
    with open(os.fsencode(tmp_path) + b"/caf\xe9.yaml", "w") as file:
        file.write("x")
    reading = FileSource([tmp_path]).read()
    assert reading.files[0][0].encode() == os.fsencode(tmp_path) + b"/caf?.yaml"


# changes


class Changes:
    """The changes of a source, each to be waited for."""

    def __init__(self, source: FileSource) -> None:
        self._iterator = source.changes()
        self._next: asyncio.Task[Reading] | None = None

    def _pending(self) -> asyncio.Task[Reading]:
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._iterator))
        return self._next

    async def next(self, timeout: float = 10.0) -> Reading:
        async with asyncio.timeout(timeout):
            reading = await asyncio.shield(self._pending())
        self._next = None
        return reading

    async def none(self) -> None:
        """Check that nothing is reported for as long as a change would need."""
        done, _ = await asyncio.wait([self._pending()], timeout=4 * files.POLL)
        assert not done

    async def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
        await self._iterator.aclose()


@asynccontextmanager
async def watching(*paths: Path) -> AsyncIterator[Changes]:
    source = FileSource(paths)
    source.read()
    changes = Changes(source)
    try:
        yield changes
    finally:
        await changes.close()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text("one")
    return path


async def test_without_a_reading_the_first_comes_at_once(manifest: Path) -> None:
    """A source can be watched from the beginning."""
    changes = Changes(FileSource([manifest]))
    assert texts(await changes.next()) == ["one"]
    await changes.close()


async def test_a_change_comes_within_a_second(manifest: Path, tmp_path: Path) -> None:
    """Contents, new files and removed files are changes."""
    async with watching(tmp_path) as changes:
        write(manifest, "two")
        assert texts(await changes.next(1.0)) == ["two"]
        write(tmp_path / "b.yaml", "b")
        assert texts(await changes.next(1.0)) == ["two", "b"]
        (tmp_path / "b.yaml").unlink()
        assert texts(await changes.next(1.0)) == ["two"]


async def test_a_change_of_the_same_size_and_time_is_found(manifest: Path) -> None:
    """A second write in the same tick of the file system's clock does not get lost."""
    source = FileSource([manifest])
    before = os.stat(manifest)
    source.read()
    changes = Changes(source)
    write(manifest, "two")
    os.utime(manifest, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert texts(await changes.next()) == ["two"]
    await changes.close()


async def test_what_only_looks_like_a_change_is_none(manifest: Path) -> None:
    """A touch, and a rewrite of the same contents, are not reported."""
    async with watching(manifest) as changes:
        os.utime(manifest)
        await changes.none()
        replacement = manifest.with_suffix(".new")
        replacement.write_text("one")
        replacement.replace(manifest)
        await changes.none()


async def test_a_rename_over_the_old_file(manifest: Path) -> None:
    """Editors write beside and rename."""
    async with watching(manifest) as changes:
        replacement = manifest.with_suffix(".new")
        replacement.write_text("two")
        replacement.replace(manifest)
        assert texts(await changes.next()) == ["two"]


async def test_an_emptied_file_is_given_time_to_be_filled(manifest: Path) -> None:
    """A truncate and a later write are one change; the empty file between them is not served."""
    async with watching(manifest) as changes:
        write(manifest, "")
        filling = asyncio.get_running_loop().call_later(0.7, write, manifest, "two")
        assert texts(await changes.next()) == ["two"]
        filling.cancel()


async def test_a_file_that_stays_empty_is_read_in_the_end(manifest: Path) -> None:
    """Emptying a file on purpose is a change too."""
    async with watching(manifest) as changes:
        write(manifest, "")
        assert texts(await changes.next()) == [""]


async def test_a_file_that_never_stands_still_is_not_read_while_it_is_empty(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truncated and written many times a second, and looked at in between: what is served is never nothing."""
    monkeypatch.setattr(files, "MAX_SETTLE", 0.2)
    async with watching(manifest) as changes:
        loop = asyncio.get_running_loop()

        def scribble(number: int) -> None:
            if number == 60:
                write(manifest, "last")
                return
            write(manifest, f"text {number}")
            write(manifest, "")
            loop.call_later(0.03, scribble, number + 1)

        scribble(0)
        found = await changes.next()
        while texts(found) != ["last"]:
            assert texts(found) != [""]
            found = await changes.next()


async def test_a_write_in_pieces_is_one_change(manifest: Path) -> None:
    """While the file grows it is not read."""
    async with watching(manifest) as changes:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def grow(size: int) -> None:
            write(manifest, "x" * size)
            if size < 30:
                loop.call_later(0.02, grow, size + 1)
            else:
                done.set_result(None)

        grow(1)
        reading = await changes.next()
        assert done.done()
        assert texts(reading) == ["x" * 30]


async def test_a_configmap_volume_swaps_its_data(tmp_path: Path) -> None:
    """Files that are links through `..data` change when that link is renamed over."""
    for version in ("v1", "v2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "a.yaml").write_text(version)
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    async with watching(tmp_path) as changes:
        (tmp_path / "..data_tmp").symlink_to("..v2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        reading = await changes.next()
        assert reading.files == ((str(tmp_path / "a.yaml"), "v2"),)


async def test_a_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    """An emptied or removed folder is a problem, never an empty configuration."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "a.yaml").write_text("one")
    async with watching(folder) as changes:
        (folder / "a.yaml").unlink()
        assert messages(await changes.next()) == ["the folder holds no manifests"]
        folder.rmdir()
        assert messages(await changes.next()) == ["the path does not exist"]
        folder.mkdir()
        (folder / "a.yaml").write_text("one")
        assert texts(await changes.next()) == ["one"]


async def test_a_look_that_fails_is_told(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To whoever waits, who would wait for ever otherwise."""

    def broken(paths: object) -> None:
        raise ValueError("no look")

    async with watching(manifest) as changes:
        monkeypatch.setattr(files, "_scan", broken)
        with pytest.raises(ValueError, match="no look"):
            await changes.next()


async def test_nobody_looks_once_nobody_waits(manifest: Path) -> None:
    """The thread ends with the wait."""

    def looking() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "manifests"]

    before = set(looking())
    async with watching(manifest) as changes:
        await changes.none()
        [thread] = set(looking()) - before
    await asyncio.to_thread(thread.join, 10.0)
    assert not thread.is_alive()
