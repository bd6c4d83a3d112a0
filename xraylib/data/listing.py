"""List every file below a folder, and say which are images and what the others are.

A file is an image by its suffix, or else by its content: only files whose suffix is not `.jpeg`,
`.jpg` or `.png` are opened, and of those the first bytes are read. Hidden files and folders, and
what operating systems leave behind, are passed over without a word.

Links are followed, to files and to folders, but for those that lead back to where they came from.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from xraylib import errors
from xraylib.data.words import is_clutter, is_image

IMAGE: Final = "images"

_ARCHIVES: Final = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


class File(NamedTuple):
    """A file that was found, or a link that leads nowhere.

    Attributes:
        below: The path below the folder that was listed, with slashes.
        folders: The names of the folders on that path.
        kind: `IMAGE`, or in words what it is instead, in the plural, such as `".csv files"`.
        identity: Device and inode, the same for a link and its target.
        linked: Whether it is a link, or was reached through one.
    """

    below: str
    folders: tuple[str, ...]
    kind: str
    identity: tuple[int, int]
    linked: bool


@dataclass(frozen=True)
class Listing:
    """What is below a folder.

    Attributes:
        files: Every file but clutter, in no order.
        folders: The names that lead to every folder but clutter, also where it is empty.
    """

    files: list[File] = field(default_factory=list)
    folders: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class _Place:
    """A folder that is still to be listed.

    Attributes:
        chain: Device and inode of the folder and of all those that lead to it.
        links: How many links lead to it.
    """

    path: Path
    folders: tuple[str, ...]
    chain: tuple[tuple[int, int], ...]
    links: int = 0


def everything(folder: Path) -> Listing:
    """Lists every file and folder below one, but clutter.

    Raises:
        DataSourceError: `folder` or one below it cannot be listed.
    """
    listing = Listing()
    followed: set[tuple[int, int]] = set()
    open_places = [_Place(folder, (), (_identity(folder),))]
    while open_places:
        place = open_places.pop()
        for entry in _entries(place.path):
            if entry.is_symlink() or not entry.is_dir(follow_symlinks=False):
                below = _add_file(entry, place, followed, listing)
            else:
                chain = (*place.chain, (place.chain[-1][0], entry.inode()))
                below = _Place(Path(entry), (*place.folders, entry.name), chain, place.links)
            if below:
                listing.folders.append(below.folders)
                open_places.append(below)
    return listing


def _add_file(
    entry: os.DirEntry[str], place: _Place, followed: set[tuple[int, int]], listing: Listing
) -> _Place | None:
    """Adds what is no folder of its own; returns a folder behind a link, to be listed itself."""
    linked = entry.is_symlink()
    identity = (place.chain[-1][0], 0 if linked else entry.inode())
    try:
        if linked:
            status = entry.stat()
            identity = (status.st_dev, status.st_ino)
        if entry.is_dir():
            # Inside a linked folder, each target once: links to one another have no end.
            if identity not in place.chain and not (place.links and identity in followed):
                followed.add(identity)
                chain = (*place.chain, identity)
                folders = (*place.folders, entry.name)
                return _Place(Path(entry), folders, chain, place.links + 1)
            kind = "links to folders that are listed already"
        else:
            kind = _kind(entry) if entry.is_file() else "devices or pipes"
    except OSError:
        kind = "broken links" if linked else "files that may not be read"
    reached = linked or bool(place.links)
    below = "/".join((*place.folders, entry.name))
    listing.files.append(File(below, place.folders, kind, identity, reached))
    return None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:  # spares a stat() for each of thousands of images
            return [entry for entry in entries if not is_clutter(entry.name)]
    except OSError as error:
        # Images would be missing without a word.
        raise errors.DataSourceError(
            f"cannot list the folder {folder} ({error.strerror}): give one that exists, and make "
            "it readable"
        ) from None


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return (0, 0)  # listing it will say why
    return (status.st_dev, status.st_ino)


def _kind(entry: os.DirEntry[str]) -> str:
    """What a file is: by its name where that is enough, else by its first bytes."""
    if is_image(entry.name):
        return IMAGE
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in _ARCHIVES:
        return "archives"
    from xraylib.data import reading  # it needs Pillow, and most trees need none of that

    if reading.is_image(Path(entry)):
        return IMAGE
    if not suffix:
        return "files without a suffix"
    # A number, as in scan.001, is no type of file, and would make a kind of each.
    return f"{suffix} files" if suffix[1:].isalnum() and not suffix[1:].isdigit() else "other files"
