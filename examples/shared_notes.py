"""A note that several terminals type into at once.

    python examples/shared_notes.py --name ada        in one terminal
    python examples/shared_notes.py --name bob        in another

Type, and watch the other terminal. Arrow keys, Home, End, Backspace and Delete move and edit;
Ctrl-D or Ctrl-C leaves. Stop the server and go on typing: nothing is lost, and the terminals agree
again when it is back. Without a terminal, lines from standard input are appended to the note.
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
from collections.abc import Iterator
from pathlib import Path

import roomlog
from roomlog.client.document import Document
from roomlog.client.status import Phase

DIRECTORY = Path.home() / ".roomlog-examples"
ESCAPES = {
    "[C": "right", "[D": "left", "[A": "up", "[B": "down",
    "[H": "home", "[F": "end", "OH": "home", "OF": "end", "[1~": "home", "[4~": "end",
    "[3~": "delete",
}  # fmt: skip


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
        self.title = f"{room}/{key} as {name}"
        self.cursor = len(self.text)
        self.shown = str(self.text)
        self.is_done = asyncio.Event()
        self.decode = codecs.getincrementaldecoder("utf-8")("ignore").decode
        self.pending = ""

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        with raw_terminal():
            loop.add_reader(sys.stdin.fileno(), self.read_keys)
            loop.add_signal_handler(signal.SIGWINCH, self.draw)
            following = asyncio.create_task(self.follow())
            watching = asyncio.create_task(self.watch_status())
            self.draw()
            await self.is_done.wait()
            loop.remove_reader(sys.stdin.fileno())
            for task in (following, watching):
                task.cancel()
            await asyncio.gather(following, watching, return_exceptions=True)

    async def follow(self) -> None:
        async for _ in self.doc.changes():
            self.take_over(str(self.text))
            self.draw()

    async def watch_status(self) -> None:
        """Redraw the title when the connection or the number of unsent edits changes."""
        while True:
            seen = (self.doc.status.phase, self.doc.status.pending_nodes)
            await self.doc.until(
                lambda now, seen=seen: (now.phase, now.pending_nodes) != seen  # type: ignore[misc]
            )
            self.draw()

    def take_over(self, new: str) -> None:
        """Keep the cursor beside the character it was at while others edit around it."""
        old = self.shown
        start = 0
        limit = min(len(old), len(new))
        while start < limit and old[start] == new[start]:
            start += 1
        end = 0
        while end < limit - start and old[len(old) - 1 - end] == new[len(new) - 1 - end]:
            end += 1
        if self.cursor > len(old) - end:
            self.cursor += len(new) - len(old)
        elif self.cursor > start:
            self.cursor = min(self.cursor, len(new) - end)
        self.shown = new

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
        self.shown = str(self.text)
        self.draw()

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
        before = self.shown[: self.cursor].split("\n")
        lines = self.shown.split("\n")
        row, column = len(before) - 1, len(before[-1])
        first = max(0, row - (rows - 3))
        title = f" {self.title} - {state} - Ctrl-D leaves "[:columns].ljust(columns)
        out = ["\x1b[H\x1b[7m", title, "\x1b[0m\r\n"]
        for line in lines[first : first + rows - 2]:
            out += [line[: columns - 1], "\x1b[K\r\n"]
        out.append(f"\x1b[J\x1b[{row - first + 2};{min(column, columns - 1) + 1}H")
        sys.stdout.write("".join(out))
        sys.stdout.flush()


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
