"""A note that several terminals type into at once.

    python examples/shared_notes.py --name ada        in one terminal
    python examples/shared_notes.py --name bob        in another

Type, and watch the other terminal: the title names who is there, and the places where they write
are marked. Arrow keys, Home, End, Backspace and Delete move and edit; Ctrl-Z takes back what you
wrote yourself and leaves what others wrote, Ctrl-Y makes it again; Ctrl-D or Ctrl-C leaves. Stop
the server and go on typing: nothing is lost, and the terminals agree again when it is back.
Without a terminal, lines from standard input are appended to the note.
"""

from __future__ import annotations

import argparse
import asyncio
import codecs
import contextlib
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import roomlog
from roomlog.client.anchors import DocumentAnchor
from roomlog.client.document import Document
from roomlog.client.status import Phase

DIRECTORY = Path.home() / ".roomlog-examples"
ESCAPES = {
    "[C": "right", "[D": "left", "[A": "up", "[B": "down",
    "[H": "home", "[F": "end", "OH": "home", "OF": "end", "[1~": "home", "[4~": "end",
    "[3~": "delete",
}  # fmt: skip
MOST_HEADS_SHOWN = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="ws://127.0.0.1:7878")
    parser.add_argument("--room", default="notes")
    parser.add_argument("--name", default="me", help="identity and local store to use")
    parser.add_argument("--key", default="note", help="which text of the room")
    arguments = parser.parse_args()
    try:
        asyncio.run(run(arguments))
    except KeyboardInterrupt:
        pass
    except roomlog.errors.RoomlogError as error:
        raise SystemExit(f"shared_notes: {error}") from None


async def run(arguments: argparse.Namespace) -> None:
    DIRECTORY.mkdir(mode=0o700, exist_ok=True)
    async with roomlog.connect(
        arguments.url,
        room=arguments.room,
        identity=DIRECTORY / f"{arguments.name}.key",
        store=DIRECTORY / f"{arguments.name}.{arguments.room}.sqlite3",
        label=arguments.name,
        close_timeout_s=2,
    ) as doc:
        if sys.stdin.isatty() and sys.stdout.isatty():
            await Editor(doc, arguments.name, arguments.room, arguments.key).run()
        else:
            await append_lines(doc, arguments.key)


async def append_lines(doc: Document, key: str) -> None:
    """For pipes: every line of the input becomes a line of the note."""
    text = doc.text(key)
    # Behind what others wrote, if that can be known now.
    with contextlib.suppress(TimeoutError):
        await doc.synced(timeout_s=2)
    while line := await asyncio.to_thread(sys.stdin.readline):
        text.append(line)
    await doc.synced(timeout_s=10)
    print(text, end="")


class Editor:
    """A full-screen editor of one text, no longer than it has to be."""

    def __init__(self, doc: Document, name: str, room: str, key: str) -> None:
        self.doc = doc
        self.text = doc.text(key)
        self.key = key
        self.title = f"{room}/{key} as {name}"
        self.undo = doc.undo_manager(scope=[self.text])
        self.cursor = len(self.text)
        # Where the cursor is when others have written: what comes in right there follows it.
        self.place = self.text.anchor(self.cursor, "left")
        # By session: what it shows, and the place in this text that it means.
        self.carets: dict[str, tuple[object, DocumentAnchor]] = {}
        self.is_done = asyncio.Event()
        self.decode = codecs.getincrementaldecoder("utf-8")("ignore").decode
        self.pending = ""

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        with raw_terminal():
            loop.add_reader(sys.stdin.fileno(), self.read_keys)
            loop.add_signal_handler(signal.SIGWINCH, self.draw)
            follow = self.follow_text, self.follow_status, self.follow_people, self.follow_carets
            tasks = [asyncio.create_task(self.until_it_fails(each())) for each in follow]
            self.draw()
            await self.is_done.wait()
            loop.remove_reader(sys.stdin.fileno())
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for result in ended:
            if isinstance(result, Exception):
                raise result

    async def until_it_fails(self, following: Coroutine[Any, Any, None]) -> None:
        try:
            await following
        finally:
            self.is_done.set()

    async def follow_text(self) -> None:
        async for _ in self.doc.changes():
            self.cursor = self.place.position
            self.draw()

    async def follow_status(self) -> None:
        """Redraw the title when the connection or the number of unsent edits changes."""
        while True:
            seen = (self.doc.status.phase, self.doc.status.pending_nodes)
            await self.doc.until(
                lambda now, seen=seen: (now.phase, now.pending_nodes) != seen  # type: ignore[misc]
            )
            if self.doc.status.phase is Phase.LIVE and seen[0] is not Phase.LIVE:
                self.show_cursor()
            self.draw()

    async def follow_people(self) -> None:
        async for _ in self.doc.peers.changes():
            self.draw()

    async def follow_carets(self) -> None:
        async for _ in self.doc.presence.changes():
            self.draw()

    def show_cursor(self) -> None:
        """Tell the others where the cursor is: a position, and in which version of the text."""
        saved = self.place.save()
        if len(saved.version) <= MOST_HEADS_SHOWN:
            version = [node_id.hex() for node_id in saved.version]
            self.doc.presence.set({"key": self.key, "version": version, "at": saved.position})

    def places_of_others(self) -> list[int]:
        """Where the cursors of others are here, as far as that can be known."""
        others = self.doc.presence
        self.carets = {
            session: self.carets[session] for session in self.carets if session in others
        }
        for session, shown in others.items():
            if session not in self.carets or self.carets[session][0] != shown.data:
                place = self.resolve(shown.data)
                if place is not None:
                    self.carets[session] = (shown.data, place)
        return [place.position for _, place in self.carets.values()]

    def resolve(self, data: object) -> DocumentAnchor | None:
        try:
            if not isinstance(data, dict) or data["key"] != self.key:
                return None
            version = tuple(bytes.fromhex(node_id) for node_id in data["version"])
            return self.text.resolve(roomlog.SavedAnchor(version, data["at"], "left"))
        except (KeyError, TypeError, ValueError, roomlog.errors.RoomlogError):
            # Not of this program, or its edit is still on the way: the next change looks again.
            return None

    def read_keys(self) -> None:
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            self.is_done.set()
            return
        self.pending += self.decode(data)
        while self.pending:
            if self.pending[0] == "\x1b":
                if not self.take_escape():
                    break
                continue
            key, self.pending = self.pending[0], self.pending[1:]
            if key in "\x03\x04":
                self.is_done.set()
                return
            self.type(key)
        self.keep_cursor()
        self.show_cursor()
        self.draw()

    def keep_cursor(self) -> None:
        self.place = self.text.anchor(self.cursor, "left")

    def take_escape(self) -> bool:
        """Use up one escape sequence; False when more of it has to come."""
        rest = self.pending[1:]
        for length in range(2, 5):
            if rest[:length] in ESCAPES:
                self.pending = rest[length:]
                self.move(ESCAPES[rest[:length]])
                return True
        if len(rest) < 2:
            return False
        self.pending = rest
        return True

    def type(self, key: str) -> None:
        if key in "\x7f\b":
            if self.cursor > 0:
                self.cursor -= 1
                self.text.delete(self.cursor)
            return
        if key in "\x1a\x19":
            self.keep_cursor()
            if key == "\x1a":
                self.undo.undo()
            else:
                self.undo.redo()
            self.cursor = self.place.position
            return
        if key == "\r":
            key = "\n"
        if key == "\n" or key.isprintable():
            self.text.insert(self.cursor, key)
            self.cursor += 1

    def move(self, where: str) -> None:
        text = str(self.text)
        line_start = text.rfind("\n", 0, self.cursor) + 1
        line_end = text.find("\n", self.cursor)
        line_end = len(text) if line_end < 0 else line_end
        if where == "left":
            self.cursor = max(0, self.cursor - 1)
        elif where == "right":
            self.cursor = min(len(text), self.cursor + 1)
        elif where == "home":
            self.cursor = line_start
        elif where == "end":
            self.cursor = line_end
        elif where == "delete" and self.cursor < len(text):
            self.text.delete(self.cursor)
        elif where == "up" and line_start > 0:
            above = text.rfind("\n", 0, line_start - 1) + 1
            self.cursor = min(above + self.cursor - line_start, line_start - 1)
        elif where == "down" and line_end < len(text):
            below_end = text.find("\n", line_end + 1)
            below_end = len(text) if below_end < 0 else below_end
            self.cursor = min(line_end + 1 + self.cursor - line_start, below_end)

    def draw(self) -> None:
        columns, rows = shutil.get_terminal_size()
        status = self.doc.status
        state = status.phase.value
        if status.pending_nodes:
            state += f", {status.pending_nodes} unsent"
        if status.phase is Phase.STOPPED:
            state += f": {status.problem}"
        people = ", ".join(peer.label or peer.pubkey.hex()[:8] for peer in self.doc.peers)
        if people:
            state += f", with {people}"
        text = str(self.text)
        carets = self.places_of_others()
        before = text[: self.cursor].split("\n")
        row, column = len(before) - 1, len(before[-1])
        first = max(0, row - (rows - 3))
        title = f" {self.title} - {state} - ^Z undoes, ^D leaves "[:columns].ljust(columns)
        out = ["\x1b[H\x1b[7m", title, "\x1b[0m\r\n"]
        start = 0
        for number, line in enumerate(text.split("\n")):
            if first <= number < first + rows - 2:
                marked = [place - start for place in carets]
                out += [with_carets(line[: columns - 1], marked), "\x1b[K\r\n"]
            start += len(line) + 1
        out.append(f"\x1b[J\x1b[{row - first + 2};{min(column, columns - 1) + 1}H")
        sys.stdout.write("".join(out))
        sys.stdout.flush()


def with_carets(line: str, columns: list[int]) -> str:
    """The line with the characters before which others write in reverse."""
    marked = {column for column in columns if 0 <= column <= len(line)}
    cells = line + " " if len(line) in marked else line
    return "".join(
        f"\x1b[7m{cell}\x1b[0m" if column in marked else cell for column, cell in enumerate(cells)
    )


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Keys as they are typed, on a screen of its own."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        sys.stdout.write("\x1b[?1049h\x1b[2J")
        yield
    finally:
        sys.stdout.write("\x1b[?1049l")
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


if __name__ == "__main__":
    main()
