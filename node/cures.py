"""What a node that cannot go on tells its operator to do: every such cure, in one place.

Why it exists: a cure is read by somebody whose cluster is broken, and followed to the letter. One that does not work in
this version is worse than none, so each of these is followed by a test of its own (`tests/cures`), and none may stand
elsewhere. Each is the end of a sentence.
"""

MEMBER_LOST = (
    "start it on an empty data folder while a majority of the others runs, where it asks to be let in as a new member "
    "(raft-node members replace, then promote; docs/operations.md)"
)
"""A disk that cannot be trusted is replaced: an empty one has no vote that the old one could have given."""

FREE_SPACE = "free space on its disk, then start the node again"
RAISE_QUOTA = "raise the disk quota, then start the node again"
MAKE_WRITABLE = "make its file system writable, then start the node again"
GRANT_ACCESS = "let the node's user read and write it, then start the node again"
CREATE_FOLDER = "create the folder that it is to lie in, or choose another with --data-dir"
CHOOSE_FOLDER = "choose a folder with --data-dir"
RAISE_FILE_SIZE = "raise the limit on file sizes (ulimit -f), then start the node again"
RAISE_OPEN_FILES = "raise the limit on open files (ulimit -n), then start the node again"
CHECK_DISK = f"check the disk, then start the node again; if the disk is failing, {MEMBER_LOST}"
LOOK_AT_MOUNT = "look at the disk and its mount, then start the node again"
MOVE_SNAPSHOT = "move this file to another folder and start the node again, because the log reaches back to before it"
SNAPSHOT_NO_SPACE = "make room on its disk; this node goes on, and tries again later"
SNAPSHOT_FAILED = "look at the disk and its mount; this node goes on, and tries again later"
SNAPSHOT_SENT_AGAIN = (
    "it was damaged on its way or on this disk, and is removed; this node goes on, and asks for it again"
)
LOOK_AGAIN = "look again"
EMPTY_FOLDER = "name one that is empty, or not there yet"
MAKE_AGAIN = "look at the disk and its mount, remove what lies in this folder, then run the same command again"
OTHER_BACKUP = "use another backup"
LATER_RELEASE = "use the release that wrote it, or a later one (UPGRADING.md)"
FINISH_FORCE_NEW = "run that command again with this folder, which finishes what it began, then start the node"
STOP_OTHER = "stop that process, or choose another data folder"
OWN_FOLDER = f"start this node with its own data folder; if that is lost, {MEMBER_LOST}"
SHORTER_NAME = "choose a shorter one"
OTHER_PORTS = "choose other ports, or end what uses these"
OWN_ADDRESS = "give an address that this machine has (--host, --peer-host)"
