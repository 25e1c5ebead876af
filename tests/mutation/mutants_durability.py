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
        tests=(
            "server/test_renumbering.py::test_t19_a_pack_that_has_nothing_new_when_judged_again_waits_for_its_duplicate",
        ),
    ),
    Mutant(
        name="a pack is relayed before it is durable",
        traps=(19,),
        file="server/room.py",
        old="        submission.append = append\n        self._in_flight.append(submission)\n",
        new="        submission.append = append\n        self._in_flight.append(submission)\n"
        "        self.readers.relay([Page(append.from_seq, append.to_seq, data)], None)\n",
        tests=(
            "server/test_store_faults.py::test_t19_a_failed_write_is_neither_acknowledged_nor_relayed",
        ),
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
        tests=(
            "store/test_crash.py::test_t20_every_acknowledged_seq_is_there_after_kill_9_at_any_moment",
        ),
    ),
    Mutant(
        name="a duplicate of a node on its way is acknowledged at once",
        traps=(19,),
        file="server/room.py",
        old="        elif verdict.is_on_pending:\n",
        new="        elif False:\n",
        tests=(
            "server/test_renumbering.py::test_t19_a_pack_that_has_nothing_new_when_judged_again_waits_for_its_duplicate",
        ),
    ),
    Mutant(
        name="what is written to a deleted file counts",
        traps=(19,),
        file="store/sqlite/writer.py",
        old="        if not self._is_in_place():\n",
        new="        if False:\n",
        tests=(
            "store/test_sqlite_faults.py::test_t19_nothing_is_acknowledged_into_a_file_that_the_stores_name_does_not_lead_to",
        ),
    ),
    Mutant(
        name="a row that could not be written is called committed",
        traps=(19,),
        file="store/sqlite/writer.py",
        old='            connection.execute("RELEASE append")\n            return failed(reason)\n',
        new='            connection.execute("RELEASE append")\n            return COMMITTED\n',
        tests=(
            "store/test_sqlite_faults.py::test_t19_a_write_that_fails_fails_the_pack_and_nothing_of_it_is_ever_there",
        ),
    ),
    Mutant(
        name="a client calls durable what its store refused",
        traps=(19,),
        file="client/local_store.py",
        old="        if self.failure is None:\n            self._on_batch(",
        new="        if batch:\n            self._on_batch(",
        tests=(
            "client/test_local_store.py::test_t19_what_could_not_be_written_is_never_called_durable",
        ),
    ),
    Mutant(
        name="commits are not synced",
        traps=(20,),
        file="store/sqlite/connection.py",
        old='"PRAGMA synchronous = FULL"',
        new='"PRAGMA synchronous = OFF"',
        tests=(
            "store/test_sqlite_power_loss.py::test_t20_what_was_acknowledged_is_there_after_the_power_went",
        ),
    ),
    Mutant(
        name="a commit is synced with the next checkpoint only",
        traps=(20,),
        file="store/sqlite/connection.py",
        old='"PRAGMA synchronous = FULL"',
        new='"PRAGMA synchronous = NORMAL"',
        tests=(
            "store/test_sqlite_power_loss.py::test_t20_what_was_acknowledged_is_there_after_the_power_went",
        ),
    ),
    Mutant(
        name="a client's commits are not synced",
        traps=(20,),
        file="client/local_store.py",
        old='"PRAGMA synchronous = FULL"',
        new='"PRAGMA synchronous = OFF"',
        tests=(
            "client/test_local_store_power_loss.py::test_t20_what_a_client_called_durable_is_there_after_the_power_went",
        ),
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
        tests=(
            "store/test_crash.py::test_t20_every_acknowledged_seq_is_there_after_kill_9_at_any_moment",
        ),
    ),
    Mutant(
        name="what is queued is dropped when the writer closes",
        traps=(20, 44),
        file="store/committer.py",
        old="            rooms = self._take_rooms()\n",
        new="            if self._is_closing:\n"
        "                self._appends.clear()\n"
        "            rooms = self._take_rooms()\n",
        tests=(
            "store/test_committer.py::test_t20_closing_writes_and_answers_what_is_queued_and_then_takes_nothing",
        ),
    ),
    Mutant(
        name="a room with packs under way leaves memory",
        traps=(20,),
        file="server/room.py",
        old="            or self._in_flight\n",
        new="",
        tests=(
            "server/test_store_faults.py::test_t20_a_room_whose_packs_are_under_way_stays_in_memory",
        ),
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
        tests=(
            "server/test_store_faults.py::test_t21_a_room_that_cannot_be_read_is_refused_and_never_empty",
        ),
    ),
    Mutant(
        name="a log that ends too early is taken as it is",
        traps=(21,),
        file="server/history.py",
        old="    if len(graph) < room.head_seq:\n",
        new="    if not room.room_id:\n",
        tests=(
            "server/test_parts.py::test_t21_a_log_that_is_not_what_it_says_is_damage_and_no_empty_room",
        ),
    ),
    Mutant(
        name="a pack that cannot be read ends the log",
        traps=(21,),
        file="server/history.py",
        old="        except (Reject, KeyError) as fault:\n",
        new="        except (Reject, KeyError) as fault:\n            return graph\n",
        tests=(
            "server/test_parts.py::test_t21_a_log_that_is_not_what_it_says_is_damage_and_no_empty_room",
        ),
    ),
    Mutant(
        name="checksums are not compared",
        traps=(21,),
        file="store/sqlite/checksums.py",
        old="    if found != written:\n",
        new="    if False:\n",
        tests=(
            "store/test_sqlite_damage.py::test_t21_missing_or_altered_rows_refuse_their_room_by_name_and_no_other",
        ),
    ),
    Mutant(
        name="missing rows at the end are not noticed",
        traps=(21,),
        file="store/sqlite/queries.py",
        old="    if len(rows) < PAGE_ROWS and seq != head_seq + 1:\n",
        new="    if False:\n",
        tests=(
            "store/test_sqlite_damage.py::test_t21_missing_or_altered_rows_refuse_their_room_by_name_and_no_other",
        ),
    ),
    Mutant(
        name="a lost database is made anew beside its write-ahead log",
        traps=(21,),
        file="store/sqlite/schema.py",
        old="        if remains.exists():\n",
        new="        if False:\n",
        tests=(
            "store/test_sqlite_damage.py::test_t21_a_lost_database_beside_its_write_ahead_log_is_not_made_anew",
        ),
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
        "            connection = self._connection = _writing(self.path, connect_sqlite)\n"
        "            version = 0\n",
        tests=(
            "client/test_local_store.py::test_t21_a_damaged_store_is_refused_and_never_taken_for_an_empty_one",
        ),
    ),
    Mutant(
        name="own nodes that the server lost are not pushed again",
        traps=(22,),
        file="client/engine.py",
        old="        if own:\n            self._pend_own_again(own)\n",
        new="",
        tests=(
            "client/test_engine.py::test_t22_a_node_whose_ack_ran_ahead_of_the_relay_is_pushed_again_when_it_was_lost",
        ),
    ),
    Mutant(
        name="others' nodes are not given back to a server that lost them",
        traps=(22,),
        file="client/server_log.py",
        old="        if not self._is_missing_asked:\n            return False\n",
        new="        if self._is_missing_asked:\n            return False\n",
        tests=(
            "client/test_kept_checkpoint.py::test_t22_a_proof_of_a_loss_is_kept_until_the_loss_is_made_good",
        ),
    ),
    Mutant(
        name="a frontier is not looked at before a cursor is believed",
        traps=(22,),
        file="protocol/ladder.py",
        old="    return all(1 <= room.seq_of(head) <= seq for head in frontier)",
        new="    return True",
        tests=(
            "protocol/test_cut_check.py::test_t22_the_same_node_at_the_same_seq_above_others_is_no_cut",
        ),
    ),
    Mutant(
        name="a gap of one seq below a pack is passed over",
        traps=(22,),
        file="protocol/reading_position.py",
        old="        if from_seq > self.seq + 1:\n            known",
        new="        if from_seq > self.seq + 2:\n            known",
        tests=(
            "client/test_engine.py::test_t22_a_node_whose_ack_ran_ahead_of_the_relay_is_pushed_again_when_it_was_lost",
        ),
    ),
    Mutant(
        name="what follows a cut is taken without its parents",
        traps=(22,),
        file="protocol/log_reader.py",
        old="        self._check = CutCheck(held.graph, self._heads)\n",
        new="",
        tests=(
            "protocol/test_cut_check.py::test_t22_the_same_node_at_the_same_seq_above_others_is_no_cut",
        ),
    ),
    Mutant(
        name="a cut is one seq too high",
        traps=(22,),
        file="protocol/log_cut.py",
        old="    return max(held, default=0)\n",
        new="    return min(head_seq, max(held, default=0) + 1)\n",
        tests=(
            "protocol/test_cut_check.py::test_t22_what_stands_on_an_unheard_of_node_behind_a_cut_is_read_by_a_walk",
        ),
    ),
    Mutant(
        name="a checkpoint that proves a loss is forgotten before it is made good",
        traps=(22,),
        file="client/engine.py",
        old="        if self.checkpoint is None or is_made_good or",
        new="        if True or",
        tests=(
            "client/test_kept_checkpoint.py::test_t22_a_proof_of_a_loss_is_kept_until_the_loss_is_made_good",
        ),
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
        tests=(
            "server/test_sessions.py::test_t23_hellos_during_the_opening_of_a_room_wait_for_all_of_it",
        ),
    ),
    Mutant(
        name="a server has a new key after every start",
        traps=(23,),
        file="server/service.py",
        old="            return store, _key_of_rooms(store.key_path)\n",
        new="            return store, Identity.generate()\n",
        tests=(
            "server/test_drain.py::test_t23_a_restarted_server_continues_under_the_same_key_epoch_and_lineage",
        ),
    ),
    Mutant(
        name="a new database is renamed without fsync",
        traps=(27,),
        file="store/sqlite/schema.py",
        old="        fsync_path(unfinished)\n",
        new="",
        tests=(
            "store/test_sqlite_directory.py::test_t27_a_new_database_is_fsynced_before_and_its_directory_after_it_gets_its_name",
        ),
    ),
    Mutant(
        name="a directory is not fsynced after a rename",
        traps=(27,),
        file="store/sqlite/schema.py",
        old="        fsync_path(directory.path)\n",
        new="",
        tests=(
            "store/test_sqlite_directory.py::test_t27_a_new_database_is_fsynced_before_and_its_directory_after_it_gets_its_name",
        ),
    ),
    Mutant(
        name="a key file is linked without fsync",
        traps=(27,),
        file="identity.py",
        old="                os.fsync(file.fileno())\n",
        new="",
        tests=("test_identity.py::test_t27_a_save_that_fails_leaves_nothing_behind",),
    ),
    Mutant(
        name="a key file's directory is not fsynced",
        traps=(27,),
        file="identity.py",
        old="        _sync_directory(target.parent)\n",
        new="",
        tests=("test_identity.py::test_t27_file_and_directory_are_synced_before_save_returns",),
    ),
    Mutant(
        name="a key that others can read is used",
        traps=(27,),
        file="identity.py",
        old="                if mode & 0o077:\n",
        new="                if mode & 0o7000:\n",
        tests=(
            "server/test_service.py::test_t27_a_key_that_others_can_read_stops_the_start_and_frees_the_store",
        ),
    ),
    Mutant(
        name="a look at the schema migrates it",
        traps=(41,),
        file="store/sqlite/migrate.py",
        old="    require_database(directory)\n    readers =",
        new="    require_database(directory)\n"
        "    apply(path, now_ms=0, connect=connect, build=build)\n    readers =",
        tests=("store/test_migrations.py::test_t41_status_writes_not_a_byte",),
    ),
    Mutant(
        name="a reader of a quiet store leaves files beside it",
        traps=(41,),
        file="store/sqlite/connection.py",
        old="    if read_only and is_quiet:\n",
        new="    if False:\n",
        tests=("store/test_migrations.py::test_t41_status_writes_not_a_byte",),
    ),
    Mutant(
        name="an old build opens a store that it misreads",
        traps=(42,),
        file="store/sqlite/schema.py",
        old="    if identity.compat_version > build.schema_version:\n",
        new="    if identity.compat_version > 10**6:\n",
        tests=(
            "store/test_migrations.py::test_t42_an_old_build_refuses_a_newer_store_and_names_the_release_that_can_open_it",
        ),
    ),
    Mutant(
        name="an old client opens a store that it misreads",
        traps=(42,),
        file="client/local_schema.py",
        old="    if compat_version > SCHEMA_VERSION:\n",
        new="    if compat_version > 10**6:\n",
        tests=(
            "client/test_local_store.py::test_t42_an_older_build_refuses_what_it_would_misread",
        ),
    ),
    Mutant(
        name="one poison row fails its whole batch",
        traps=(59,),
        file="store/sqlite/writer.py",
        old="                self._write_alone(connection, index, append)"
        " for index, append in enumerate(batch)\n",
        new='                failed("another row cannot be written") for append in batch\n',
        tests=(
            "server/test_store_faults.py::test_t59_one_bad_pack_fails_alone_and_those_behind_it_are_numbered_anew",
        ),
    ),
    Mutant(
        name="a failed commit is called failed though nobody knows",
        traps=(59,),
        file="store/sqlite/writer.py",
        old="            return [ambiguous(reason) if each.is_committed else each"
        " for each in outcomes]\n",
        new="            return [failed(reason) if each.is_committed else each"
        " for each in outcomes]\n",
        tests=(
            "store/test_sqlite_faults.py::test_t59_an_ambiguous_commit_is_reported_as_such_and_then_decided_for_every_room",
        ),
    ),
    Mutant(
        name="an ambiguous commit is taken for a failed one",
        traps=(59,),
        file="server/room.py",
        old="        if outcome.status is AppendStatus.AMBIGUOUS:\n"
        "            self._is_ambiguous = True\n",
        new="",
        tests=(
            "server/test_store_faults.py::test_t59_an_ambiguous_commit_is_settled_by_reading_the_store_again",
        ),
    ),
    Mutant(
        name="what a store that raised was given is called failed",
        traps=(59,),
        file="store/committer.py",
        old='[ambiguous(f"the store failed: {error!r}") for _ in batch]',
        new="[AppendOutcome(AppendStatus.FAILED, repr(error)) for _ in batch]",
        tests=(
            "store/test_committer.py::test_t59_a_store_that_raises_leaves_its_batch_ambiguous_and_the_thread_alive",
        ),
    ),
    Mutant(
        name="packs behind a failed one keep their numbers",
        traps=(59,),
        file="server/room.py",
        old="        self._next_seq = self.head_seq + 1\n        again",
        new="        again",
        tests=(
            "server/test_store_faults.py::test_t59_one_bad_pack_fails_alone_and_those_behind_it_are_numbered_anew",
        ),
    ),
)
