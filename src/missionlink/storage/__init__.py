"""Storage of sessions in the program's own hands: files in memory, in a folder, or in any ``fsspec`` file system.

Give one of them as ``storage`` to the client. The runtime then sends every read and write of its sessions to this
program, and a session can be resumed on another machine that has the same storage.
"""

from missionlink.storage.directory import DirectoryFS
from missionlink.storage.fsspec_files import FsspecFS
from missionlink.storage.kinds import DirEntry, FileStat, SessionFS, SqlResult, SqlSessionFS, SqlStatement
from missionlink.storage.memory import MemoryFS

__all__ = (
    "DirEntry",
    "DirectoryFS",
    "FileStat",
    "FsspecFS",
    "MemoryFS",
    "SessionFS",
    "SqlResult",
    "SqlSessionFS",
    "SqlStatement",
)
