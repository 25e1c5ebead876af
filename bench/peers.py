"""The peers' engines replaying a history from Python, each edit its own transaction and update."""

from __future__ import annotations

from typing import Any

from bench.traces import Patch, agent_versions

TEXT = "text"
# Peers draw a random 32-bit (Yjs) or 64-bit (loro) id for each client; its size is part of every
# update, so these are as large as drawn ones.
CLIENT_IDS = (2_463_918_277, 3_871_042_913)
LORO_PEER_IDS = (9_172_645_301_776_220_417, 12_640_877_105_338_902_113)


def utf8_patches(patches: list[Patch]) -> list[Patch]:
    """The same patches, refused when a text is not ASCII: pycrdt counts UTF-8 bytes."""
    if not all(inserted.isascii() for _, _, inserted in patches):
        raise ValueError("positions in bytes and in characters differ in this trace")
    return patches


def loro_sequential(patches: list[Patch], updates: list[bytes]) -> str:
    """Every patch its own loro transaction; its update bytes are appended to `updates`."""
    from loro import LoroDoc

    document = LoroDoc()
    document.peer_id = LORO_PEER_IDS[0]
    text = document.get_text(TEXT)
    append = updates.append

    def capture(update: bytes) -> bool:
        append(update)
        return True

    subscription = document.subscribe_local_update(capture)
    for position, deleted, inserted in patches:
        if deleted:
            text.delete(position, deleted)
        if inserted:
            text.insert(position, inserted)
        document.commit()
    del subscription
    return str(text.to_string())


def y_py_sequential(patches: list[Patch], updates: list[bytes]) -> str:
    """Every patch its own y-py transaction; its update bytes are appended to `updates`."""
    import y_py

    document = y_py.YDoc(CLIENT_IDS[0])
    text = document.get_text(TEXT)
    subscription = document.observe_after_transaction(
        lambda event: updates.append(event.get_update())
    )
    for position, deleted, inserted in patches:
        with document.begin_transaction() as transaction:
            if deleted:
                text.delete_range(transaction, position, deleted)
            if inserted:
                text.insert(transaction, position, inserted)
    del subscription
    return str(text)


def loro_concurrent(transactions: list[dict[str, Any]]) -> list[bytes]:
    """One update a transaction, each written by its agent on exactly its parents' version."""
    from loro import LoroDoc

    agents = sorted({transaction["agent"] for transaction in transactions})
    documents = {}
    updates: list[bytes] = []
    subscriptions = []
    for agent in agents:
        document = LoroDoc()
        document.peer_id = LORO_PEER_IDS[agent]
        documents[agent] = document
        subscriptions.append(
            document.subscribe_local_update(lambda update: updates.append(update) or True)
        )
    written: dict[int, list[bytes]] = {agent: [] for agent in agents}
    known = {agent: dict.fromkeys(agents, 0) for agent in agents}
    versions = agent_versions(transactions)
    for transaction, version in zip(transactions, versions, strict=True):
        agent = transaction["agent"]
        document = documents[agent]
        for other, count in version.items():
            if other != agent and count > known[agent][other]:
                document.import_batch(written[other][known[agent][other] : count])
                known[agent][other] = count
        text = document.get_text(TEXT)
        for position, deleted, inserted in transaction["patches"]:
            if deleted:
                text.delete(position, deleted)
            if inserted:
                text.insert(position, inserted)
        document.commit()
        written[agent].append(updates[-1])
    if len(updates) != len(transactions):
        raise ValueError(f"{len(updates)} updates of {len(transactions)} transactions")
    return updates


def pycrdt_concurrent(transactions: list[dict[str, Any]]) -> list[bytes]:
    """One update a transaction, each written by its agent on exactly its parents' version."""
    from pycrdt import Doc, Text

    agents = sorted({transaction["agent"] for transaction in transactions})
    documents = {}
    texts = {}
    emitted: list[bytes] = []
    subscriptions = []
    for agent in agents:
        document = Doc(client_id=CLIENT_IDS[agent])
        texts[agent] = document.get(TEXT, type=Text)
        documents[agent] = document
        subscriptions.append(document.observe(lambda event: emitted.append(event.update)))
    written: dict[int, list[bytes]] = {agent: [] for agent in agents}
    known = {agent: dict.fromkeys(agents, 0) for agent in agents}
    updates: list[bytes] = []
    versions = agent_versions(transactions)
    for transaction, version in zip(transactions, versions, strict=True):
        agent = transaction["agent"]
        document = documents[agent]
        for other, count in version.items():
            if other != agent and count > known[agent][other]:
                for update in written[other][known[agent][other] : count]:
                    document.apply_update(update)
                known[agent][other] = count
        text = texts[agent]
        utf8_patches([tuple(patch) for patch in transaction["patches"]])
        emitted.clear()
        with document.transaction():
            for position, deleted, inserted in transaction["patches"]:
                if deleted:
                    del text[position : position + deleted]
                if inserted:
                    text.insert(position, inserted)
        if len(emitted) != 1:
            raise ValueError(f"{len(emitted)} updates of one transaction")
        written[agent].append(emitted[0])
        updates.append(emitted[0])
    return updates
