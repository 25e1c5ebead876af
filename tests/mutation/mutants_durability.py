"""Bugs in what is kept: commits, fsync, loading, restores, migrations."""

from __future__ import annotations

from tests.mutation.mutant import Mutant

DURABILITY = (
    Mutant(
        name="a failed write is acknowledged",
        traps=(19,),
        file="server/room.py",
        old="        elif outcome.status is AppendStatus.COMMITTED:\n",
        new="        elif outcome.status is not AppendStatus.AMBIGUOUS:\n",
    ),
    Mutant(
        name="a pack is relayed before it is durable",
        traps=(19,),
        file="server/room.py",
        old="        submission.append = append\n        self._in_flight.append(submission)\n",
        new="        submission.append = append\n        self._in_flight.append(submission)\n"
        "        self.readers.relay([Page(append.from_seq, append.to_seq, data)], None)\n",
    ),
    Mutant(
        name="an outcome is told before the commit",
        traps=(19, 20),
        file="store/committer.py",
        old="            outcomes = self._store.commit(batch)\n",
        new="            outcomes = [AppendOutcome(AppendStatus.COMMITTED) for _ in batch]\n"
        "            self._on_outcomes(list(zip(batch, outcomes, strict=True)))\n"
        "            outcomes = self._store.commit(batch)\n"
        "            return\n",
    ),
    Mutant(
        name="a duplicate of a node on its way is acknowledged at once",
        traps=(19,),
        file="server/room.py",
        old="        elif verdict.is_on_pending:\n",
        new="        elif False:\n",
    ),
    Mutant(
        name="what is written to a deleted file counts",
        traps=(19,),
        file="store/sqlite/writer.py",
        old="        if not self._is_in_place():\n",
        new="        if False:\n",
    ),
    Mutant(
        name="a row that could not be written is called committed",
        traps=(19,),
        file="store/sqlite/writer.py",
        old='            connection.execute("RELEASE append")\n            return failed(reason)\n',
        new='            connection.execute("RELEASE append")\n            return COMMITTED\n',
    ),
    Mutant(
        name="a client calls durable what its store refused",
        traps=(19,),
        file="client/local_store.py",
        old="        if self.failure is None:\n            self._on_batch(",
        new="        if batch:\n            self._on_batch(",
    ),
    Mutant(
        name="commits are not synced",
        traps=(20,),
        file="store/sqlite/connection.py",
        old='"PRAGMA synchronous = FULL"',
        new='"PRAGMA synchronous = OFF"',
    ),
    Mutant(
        name="a commit is synced with the next checkpoint only",
        traps=(20,),
        file="store/sqlite/connection.py",
        old='"PRAGMA synchronous = FULL"',
        new='"PRAGMA synchronous = NORMAL"',
    ),
    Mutant(
        name="a client's commits are not synced",
        traps=(20,),
        file="client/local_store.py",
        old='"PRAGMA synchronous = FULL"',
        new='"PRAGMA synchronous = OFF"',
    ),
    Mutant(
        name="a commit is left to the next batch",
        traps=(20,),
        file="store/sqlite/writer.py",
        old='        connection.execute("BEGIN IMMEDIATE")\n'
        "        outcomes = self._write_together(connection, batch)\n",
        new="        if connection.in_transaction:\n"
        '            connection.execute("COMMIT")\n'
        '        connection.execute("BEGIN IMMEDIATE")\n'
        "        outcomes = self._write_together(connection, batch)\n"
        "        if outcomes is not None:\n"
        "            return outcomes\n",
    ),
    Mutant(
        name="what is queued is dropped when the writer closes",
        traps=(20, 44),
        file="store/committer.py",
        old="            rooms = self._take_rooms()\n",
        new="            if self._is_closing:\n"
        "                self._appends.clear()\n"
        "            rooms = self._take_rooms()\n",
    ),
    Mutant(
        name="a room with packs under way leaves memory",
        traps=(20,),
        file="server/room.py",
        old="            or self._in_flight\n",
        new="",
    ),
    Mutant(
        name="a room that cannot be loaded is opened empty",
        traps=(21,),
        file="server/registry.py",
        old='            graph = await self._reader.read("load_index", load_graph,'
        " self._reader.store, stored)\n            windows",
        new="            try:\n"
        "                graph = await self._reader.read(\n"
        '                    "load_index", load_graph, self._reader.store, stored\n'
        "                )\n"
        "            except StoreError:\n"
        "                graph = Graph()\n"
        "            windows",
    ),
    Mutant(
        name="a log that ends too early is taken as it is",
        traps=(21,),
        file="server/history.py",
        old="    if len(graph) < room.head_seq:\n",
        new="    if not room.room_id:\n",
    ),
    Mutant(
        name="a pack that cannot be read ends the log",
        traps=(21,),
        file="server/history.py",
        old="        except (Reject, KeyError) as fault:\n",
        new="        except (Reject, KeyError) as fault:\n            return graph\n",
    ),
    Mutant(
        name="checksums are not compared",
        traps=(21,),
        file="store/sqlite/checksums.py",
        old="    if found != written:\n",
        new="    if False:\n",
    ),
    Mutant(
        name="missing rows at the end are not noticed",
        traps=(21,),
        file="store/sqlite/queries.py",
        old="    if len(rows) < PAGE_ROWS and seq != head_seq + 1:\n",
        new="    if False:\n",
    ),
    Mutant(
        name="a lost database is made anew beside its write-ahead log",
        traps=(21,),
        file="store/sqlite/schema.py",
        old="    if directory.write_ahead_log.exists():\n",
        new="    if False:\n",
    ),
    Mutant(
        name="a damaged client store is taken for an empty one",
        traps=(21,),
        file="client/local_store.py",
        old="        version = 0 if is_empty(connection) else check_versions("
        "connection, str(self.path))\n",
        new="        try:\n"
        "            version = (\n"
        "                0 if is_empty(connection) else"
        " check_versions(connection, str(self.path))\n"
        "            )\n"
        "        except (LocalStoreError, sqlite3.Error):\n"
        "            connection.close()\n"
        "            self.path.unlink()\n"
        "            connection = self._connection = _connect(self.path, read_only=False)\n"
        "            version = 0\n",
    ),
    Mutant(
        name="own nodes that the server lost are not pushed again",
        traps=(22,),
        file="client/engine.py",
        old="        if own:\n            self._pend_own_again(own)\n",
        new="",
    ),
    Mutant(
        name="others' nodes are not given back to a server that lost them",
        traps=(22,),
        file="client/server_log.py",
        old="        if not self._is_missing_asked:\n            return False\n",
        new="        if self._is_missing_asked:\n            return False\n",
    ),
    Mutant(
        name="a frontier is not looked at before a cursor is believed",
        traps=(22,),
        file="protocol/ladder.py",
        old="    return all(1 <= room.seq_of(head) <= seq for head in frontier)",
        new="    return True",
    ),
    Mutant(
        name="a cursor may be one beyond where the logs agree",
        traps=(22,),
        file="protocol/ladder.py",
        old="    if seq > 0 and room.id_at(seq) != cursor.id:\n",
        new="    if seq > 1 and room.id_at(seq - 1) == cursor.id:\n",
    ),
    Mutant(
        name="what follows a cut is taken without its parents",
        traps=(22,),
        file="protocol/log_reader.py",
        old="        self._check = CutCheck(held.graph, self._heads)\n",
        new="",
    ),
    Mutant(
        name="a cut is one seq too high",
        traps=(22,),
        file="protocol/log_cut.py",
        old="    return max(held, default=0)\n",
        new="    return min(head_seq, max(held, default=0) + 1)\n",
    ),
    Mutant(
        name="a checkpoint that proves a loss is forgotten before it is made good",
        traps=(22,),
        file="client/engine.py",
        old="        if self.checkpoint is None or is_made_good or",
        new="        if True or",
    ),
    Mutant(
        name="a welcome is given while the room is still being loaded",
        traps=(23,),
        file="server/registry.py",
        old='            graph = await self._reader.read("load_index", load_graph,'
        " self._reader.store, stored)\n            windows",
        new="            self.rooms[room_id] = self._make_room(stored, Graph())\n"
        '            graph = await self._reader.read("load_index", load_graph,'
        " self._reader.store, stored)\n            windows",
    ),
    Mutant(
        name="a server has a new key after every start",
        traps=(23,),
        file="server/service.py",
        old="            return store, _key_of_rooms(store.key_path)\n",
        new="            return store, Identity.generate()\n",
    ),
    Mutant(
        name="a new database is renamed without fsync",
        traps=(27,),
        file="store/sqlite/schema.py",
        old="        fsync_path(unfinished)\n",
        new="",
    ),
    Mutant(
        name="a directory is not fsynced after a rename",
        traps=(27,),
        file="store/sqlite/schema.py",
        old="        fsync_path(directory.path)\n",
        new="",
    ),
    Mutant(
        name="a key file is linked without fsync",
        traps=(27,),
        file="identity.py",
        old="                os.fsync(file.fileno())\n",
        new="",
    ),
    Mutant(
        name="a key file's directory is not fsynced",
        traps=(27,),
        file="identity.py",
        old="        _sync_directory(target.parent)\n",
        new="",
    ),
    Mutant(
        name="a key that others can read is used",
        traps=(27,),
        file="identity.py",
        old="                if mode & 0o077:\n",
        new="                if mode & 0o7000:\n",
    ),
    Mutant(
        name="a look at the schema migrates it",
        traps=(41,),
        file="store/sqlite/migrate.py",
        old="    require_database(directory)\n    readers =",
        new="    require_database(directory)\n"
        "    apply(path, now_ms=0, connect=connect, build=build)\n    readers =",
    ),
    Mutant(
        name="a reader of a quiet store leaves files beside it",
        traps=(41,),
        file="store/sqlite/connection.py",
        old="    if read_only and is_quiet:\n",
        new="    if False:\n",
    ),
    Mutant(
        name="an old build opens a store that it misreads",
        traps=(42,),
        file="store/sqlite/schema.py",
        old="    if identity.compat_version > build.schema_version:\n",
        new="    if identity.compat_version > 10**6:\n",
    ),
    Mutant(
        name="an old client opens a store that it misreads",
        traps=(42,),
        file="client/local_schema.py",
        old="    if compat_version > SCHEMA_VERSION:\n",
        new="    if compat_version > 10**6:\n",
    ),
    Mutant(
        name="one poison row fails its whole batch",
        traps=(59,),
        file="store/sqlite/writer.py",
        old="                self._write_alone(connection, index, append)"
        " for index, append in enumerate(batch)\n",
        new='                failed("another row cannot be written") for append in batch\n',
    ),
    Mutant(
        name="a failed commit is called failed though nobody knows",
        traps=(59,),
        file="store/sqlite/writer.py",
        old="            return [ambiguous(reason) if each.is_committed else each"
        " for each in outcomes]\n",
        new="            return [failed(reason) if each.is_committed else each"
        " for each in outcomes]\n",
    ),
    Mutant(
        name="an ambiguous commit is taken for a failed one",
        traps=(59,),
        file="server/room.py",
        old="        if outcome.status is AppendStatus.AMBIGUOUS:\n"
        "            self._is_ambiguous = True\n",
        new="",
    ),
    Mutant(
        name="a store that raises ends the writer's thread",
        traps=(59,),
        file="store/committer.py",
        old="outcomes = self._store.commit(batch)\n        except Exception as error:\n",
        new="outcomes = self._store.commit(batch)\n        except OSError as error:\n",
    ),
    Mutant(
        name="packs behind a failed one keep their numbers",
        traps=(59,),
        file="server/room.py",
        old="        self._next_seq = self.head_seq + 1\n        again",
        new="        again",
    ),
)
