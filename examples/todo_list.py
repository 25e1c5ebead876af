"""A to-do list that several people keep together, online or not.

    python examples/todo_list.py add "buy milk"
    python examples/todo_list.py done 1
    python examples/todo_list.py show --follow

Every call works without a server: what it writes waits in the local store and is sent by the next
call that reaches one.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import roomlog
from roomlog.client.document import Document

DIRECTORY = Path.home() / ".roomlog-examples"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="ws://127.0.0.1:7878")
    parser.add_argument("--room", default="todo")
    parser.add_argument("--name", default="me", help="identity and local store to use")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("add", help="add an item").add_argument("text")
    commands.add_parser("done", help="tick an item off").add_argument("number", type=number)
    commands.add_parser("remove", help="remove an item").add_argument("number", type=number)
    move = commands.add_parser("move", help="move an item to another place")
    move.add_argument("number", type=number)
    move.add_argument("place", type=number)
    show = commands.add_parser("show", help="print the list")
    show.add_argument("--follow", action="store_true", help="and again whenever it changes")
    try:
        asyncio.run(run(parser.parse_args()))
    except KeyboardInterrupt:
        pass
    except (roomlog.errors.RoomlogError, IndexError) as error:
        raise SystemExit(f"todo_list: {error}") from None


def number(text: str) -> int:
    """An item's number as it is shown, from 1: as an index, 0 would be the last item."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


async def run(arguments: argparse.Namespace) -> None:
    DIRECTORY.mkdir(mode=0o700, exist_ok=True)
    async with roomlog.connect(
        arguments.url,
        room=arguments.room,
        identity=DIRECTORY / f"{arguments.name}.key",
        store=DIRECTORY / f"{arguments.name}.{arguments.room}.sqlite3",
        close_timeout_s=2,
    ) as doc:
        # Up to date if a server can be reached soon, else as of the last time.
        try:
            await doc.synced(timeout_s=2)
        except TimeoutError:
            print("(offline)")
        todo = doc.list("todo")
        if arguments.command == "add":
            todo.append({"text": arguments.text, "done": False})
        elif arguments.command == "done":
            todo.update(arguments.number - 1, {**todo[arguments.number - 1], "done": True})
        elif arguments.command == "remove":
            todo.delete(arguments.number - 1)
        elif arguments.command == "move":
            todo.move(arguments.number - 1, arguments.place - 1)
        show(todo)
        if arguments.command == "show" and arguments.follow:
            await follow(doc)


async def follow(doc: Document) -> None:
    async for _ in doc.changes():
        print()
        show(doc.list("todo"))


def show(items: Any) -> None:
    for number, item in enumerate(items, start=1):
        print(f"{number:>3}. [{'x' if item['done'] else ' '}] {item['text']}")
    if not len(items):
        print("nothing to do")


if __name__ == "__main__":
    main()
