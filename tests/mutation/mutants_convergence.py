"""Bugs in merging: texts, registers, clocks, hashes, histories, what is written on top of what."""

from __future__ import annotations

from tests.mutation.mutant import Mutant

CONVERGENCE = (
    Mutant(
        name="an edit is resolved where it arrives, not where it was made",
        traps=(11, 12, 16),
        file="core/crdt/text/document.py",
        old="        walker.move(parents)\n        entry: Entry | None = None\n",
        new="        entry: Entry | None = None\n",
        tests=(
            "core/crdt/text/test_text_document.py::test_t11_a_range_delete_takes_what_its_author_saw_whatever_arrives_first",
        ),
    ),
    Mutant(
        name="a concurrent delete of several pieces stops at the first",
        traps=(11,),
        file="core/crdt/text/document.py",
        old="        for index in range(0, len(removed), 2):\n",
        new="        for index in range(0, min(2, len(removed)), 2):\n",
        tests=(
            "core/crdt/text/test_text_document.py::test_t11_a_range_delete_takes_what_its_author_saw_whatever_arrives_first",
        ),
    ),
    Mutant(
        name="a delete takes what was deleted already once more",
        traps=(11,),
        file="core/crdt/text/walker.py",
        old="                if span.deleted:\n                    leaf.grow(-taken, 0)",
        new="                if False:\n                    leaf.grow(-taken, 0)",
        tests=(
            "core/crdt/text/test_text_document.py::test_t11_a_range_delete_takes_what_its_author_saw_whatever_arrives_first",
        ),
    ),
    Mutant(
        name="deleted characters still count towards a place",
        traps=(12,),
        file="core/crdt/text/walker.py",
        old="            if not span.deleted:\n                effect += kept\n",
        new="            effect += kept\n",
        tests=(
            "core/crdt/text/test_text_document.py::test_t12_insert_beside_a_concurrently_deleted_character_stays_in_place",
        ),
    ),
    Mutant(
        name="deleted characters still count among concurrent inserts",
        traps=(12, 16),
        file="core/crdt/text/walker.py",
        old="            if not other.deleted:\n                scanned += other.length\n",
        new="            scanned += other.length\n",
        tests=(
            "core/crdt/text/test_text_document.py::test_t12_a_concurrent_insert_that_was_deleted_meanwhile_takes_no_room",
        ),
    ),
    Mutant(
        name="a subscriber gets no node that it does not read",
        traps=(13,),
        file="core/subscription.py",
        old="        node if not node.operations() or touches(node, patterns)"
        " else without_body(node)\n        for node in nodes\n",
        new="        node for node in nodes if not node.operations() or touches(node, patterns)\n",
        tests=(
            "core/test_subscription.py::test_t13_a_subscriber_misses_no_parent_whatever_arrives",
        ),
    ),
    Mutant(
        name="a replica refuses nodes without bodies whatever it subscribed to",
        traps=(13,),
        file="core/intake.py",
        old="            check_node(node, self.takes_headers)\n",
        new="            check_node(node)\n",
        tests=(
            "core/test_subscription.py::test_t13_a_subscriber_misses_no_parent_whatever_arrives",
        ),
    ),
    Mutant(
        name="the hash covers maps only",
        traps=(14,),
        file="core/state_hash.py",
        old="        for leaf_kind in range(MAP_LEAF, LEAF_KINDS):\n",
        new="        for leaf_kind in range(MAP_LEAF, COUNTER_LEAF):\n",
        tests=(
            "core/test_state_hash.py::test_t14_rooms_that_differ_in_any_kind_differ_in_their_hash",
        ),
    ),
    Mutant(
        name="the hash leaves out blobs",
        traps=(14,),
        file="core/state_hash.py",
        old="        for leaf_kind in range(MAP_LEAF, LEAF_KINDS):\n",
        new="        for leaf_kind in range(MAP_LEAF, BLOB_LEAF):\n",
        tests=(
            "core/test_state_hash.py::test_t14_rooms_that_differ_in_any_kind_differ_in_their_hash",
        ),
    ),
    Mutant(
        name="the hash leaves out what objects are called",
        traps=(14,),
        file="core/state_hash.py",
        old="            key_bytes,\n            hash_bytes(encoded),",
        new="            hash_bytes(encoded),",
        tests=("core/test_state_hash.py::test_t14_what_an_object_is_called_is_in_the_hash",),
    ),
    Mutant(
        name="a clock far beyond the graph is refused on replay",
        traps=(15,),
        file="core/intake.py",
        old="            if node.clock <= greatest:\n                raise Reject(",
        new="            if node.clock <= greatest or node.clock > greatest + (1 << 40):\n"
        "                raise Reject(",
        tests=("core/test_replica.py::test_t15_history_of_any_clock_is_valid_on_replay",),
    ),
    Mutant(
        name="the clock ceiling is measured against the graph",
        traps=(15,),
        file="core/clock.py",
        old="    return clock > (now_ms + skew_ms) * UNITS_PER_MS and clock > greatest",
        new="    return clock > greatest_parent_clock + (1 << 30) or clock > (\n"
        "        now_ms + skew_ms\n    ) * UNITS_PER_MS and clock > greatest",
        tests=(
            "server/test_admission.py::test_t15_the_clock_ceiling_is_not_measured_against_the_graph",
        ),
    ),
    Mutant(
        name="a run forgets what stood to its right",
        traps=(16,),
        file="core/crdt/text/walker.py",
        old="    if _follows(span, run.left, run.left_offset):\n        run.right = span.run\n",
        new="    if span is None:\n        run.right = span.run\n",
        tests=(
            "core/crdt/text/test_text_document.py::test_t16_concurrent_typing_at_one_place_does_not_interleave",
        ),
    ),
    Mutant(
        name="concurrent runs are put in by the letter",
        traps=(16,),
        file="core/crdt/text/walker.py",
        old="                if origin_span is left_span or precedes(origin_span, left_span):\n"
        "                    break\n",
        new="",
        tests=(
            "core/crdt/text/test_text_document.py::test_t16_concurrent_typing_at_one_place_does_not_interleave",
        ),
    ),
    Mutant(
        name="list items typed one after the other have no run of their own",
        traps=(16,),
        file="core/open_edits.py",
        old="        if self._placed:\n            suffix = self._suffix",
        new="        if self._placed and clock < 0:\n            suffix = self._suffix",
        tests=(
            "core/crdt/list/test_positions.py::test_t16_runs_of_concurrent_nodes_do_not_interleave",
        ),
    ),
    Mutant(
        name="a refused write stays visible",
        traps=(17,),
        file="client/engine.py",
        old="        if final_nodes:\n            self._roll_back(final_nodes, now_ms)\n",
        new="",
        tests=("client/test_engine.py::test_t17_a_refused_write_is_rolled_back_and_reported",),
    ),
    Mutant(
        name="own writes never leave the pending ones",
        traps=(17,),
        file="client/engine.py",
        old="                self.pending.settle(own)\n",
        new="",
        tests=("client/test_engine.py::test_t17_own_writes_are_canonical_once_acknowledged",),
    ),
    Mutant(
        name="the first operation of a refused node stays",
        traps=(17, 52),
        file="core/reauthor.py",
        old="            if index in dropped:\n                self._gone",
        new="            if index and index in dropped:\n                self._gone",
        tests=("core/test_reauthor.py::test_t52_a_refused_node_does_not_lose_what_came_after_it",),
    ),
    Mutant(
        name="open edits are not committed before others' nodes come in",
        traps=(17,),
        file="core/replica.py",
        old="            result.flushed = self._writer.commit(now_ms, None)\n"
        "        self._add(nodes, verify, result, {})",
        new="            pass\n        self._add(nodes, verify, result, {})",
        tests=("core/test_replica.py::test_t17_own_edits_are_committed_before_nodes_are_added",),
    ),
    Mutant(
        name="a text counts UTF-16 units",
        traps=(18,),
        file="core/crdt/text/document.py",
        old="        size = len(text)\n        self._text.insert(position, text)\n",
        new='        size = len(text.encode("utf-16-le")) // 2\n'
        "        self._text.insert(position, text)\n",
        tests=(
            "core/crdt/text/test_text_document.py::test_t18_positions_count_scalar_values_whatever_they_are_made_of",
        ),
    ),
    Mutant(
        name="a character beyond the basic plane counts twice",
        traps=(18,),
        file="core/crdt/text/document.py",
        old="                inserted = edit.inserted\n                size = len(inserted)\n",
        new="                inserted = edit.inserted\n"
        '                size = len(inserted.encode("utf-16-le")) // 2\n',
        tests=(
            "core/crdt/text/test_text_document.py::test_t18_positions_count_scalar_values_whatever_they_are_made_of",
        ),
    ),
    Mutant(
        name="a lone surrogate is found out only when the node is made",
        traps=(18,),
        file="core/open_edits.py",
        old="            size_bytes = _scalar_bytes(text)\n        state = self",
        new='            size_bytes = len(text.encode(errors="replace"))\n        state = self',
        tests=(
            "core/test_handles.py::test_t18_lone_surrogates_are_refused_before_anything_changes",
        ),
    ),
    Mutant(
        name="a chain faster than the clock's unit is ahead of time",
        traps=(51,),
        file="core/clock.py",
        old=" * UNITS_PER_MS and clock > greatest_parent_clock + 1",
        new=" * UNITS_PER_MS",
        tests=(
            "core/test_clock.py::test_t51_a_chain_faster_than_the_unit_keeps_going_and_is_never_ahead",
        ),
    ),
    Mutant(
        name="a clock follows the wall only",
        traps=(51,),
        file="core/clock.py",
        old="    if now_ms is not None and now_ms * UNITS_PER_MS > clock:\n",
        new="    if now_ms is not None:\n",
        tests=(
            "core/test_clock.py::test_t51_a_chain_faster_than_the_unit_keeps_going_and_is_never_ahead",
        ),
    ),
    Mutant(
        name="descendants of a refused node are told that a parent is missing",
        traps=(52,),
        file="server/admission.py",
        old="                if refused is not None:\n"
        "                    raise _Descendant(*refused)\n",
        new="",
        tests=("server/test_admission.py::test_t52_descendants_of_a_refused_node_name_their_root",),
    ),
    Mutant(
        name="the second generation below a refused node loses its root",
        traps=(52,),
        file="server/admission.py",
        old="            refusals.remember(node_id, descendant.root, descendant.root_class)\n",
        new="",
        tests=("server/test_admission.py::test_t52_descendants_of_a_refused_node_name_their_root",),
    ),
    Mutant(
        name="a node that was refused once stays refused to its descendants",
        traps=(52,),
        file="server/admission.py",
        old="            refusals.forget(node_id)\n",
        new="",
        tests=(
            "server/test_admission.py::test_t52_a_root_that_is_taken_after_all_frees_its_descendants",
        ),
    ),
    Mutant(
        name="what stands on a refused node is thrown away with it",
        traps=(52,),
        file="client/refusals.py",
        old="    if refused.reject_class == RejectClass.ANCESTOR_REFUSED.wire:\n"
        "        return False\n",
        new="",
        tests=(
            "client/test_engine.py::test_t52_what_is_refused_together_with_its_ancestor_is_rebased_not_lost",
        ),
    ),
    Mutant(
        name="all of a node is dropped when some operations were named",
        traps=(52,),
        file="client/refusals.py",
        old="        indexes = tuple(valid) or indexes\n",
        new="        indexes = indexes if valid else indexes\n",
        tests=(
            "client/test_engine.py::test_t52_only_the_named_operations_of_a_refused_node_are_dropped",
        ),
    ),
    Mutant(
        name="admission refuses a position that fits nobody",
        traps=(53,),
        file="server/admission.py",
        old="            check_node(node)\n",
        new="            check_node(node)\n"
        '            if any(getattr(each, "position", 0) > 10**6 for each in node.operations()):\n'
        '                raise Reject(RejectClass.BODY_INVALID, "outside of the text")\n',
        tests=("server/test_admission.py::test_t53_admission_never_looks_at_what_operations_mean",),
    ),
    Mutant(
        name="a position beyond the author's text is moved to its end",
        traps=(53,),
        file="core/crdt/text/document.py",
        old="                if edit.position < 0 or edit.position > length or not size:\n"
        "                    continue\n                kind = INSERT",
        new="                if edit.position < 0 or not size:\n"
        "                    continue\n"
        "                edit = TextEdit(min(edit.position, length), 0, edit.inserted)\n"
        "                kind = INSERT",
        tests=(
            "core/crdt/text/test_text_document.py::test_t53_an_edit_outside_the_authors_view_does_nothing_on_every_path",
        ),
    ),
    Mutant(
        name="a node that fits nobody is applied to the newest text",
        traps=(53,),
        file="core/crdt/text/document.py",
        old="                if position < 0 or size < 0 or position + size > length:\n"
        "                    continue\n                text.delete(position, size)",
        new="                size = min(size, length - position)\n"
        "                if position < 0 or size <= 0:\n"
        "                    continue\n                text.delete(position, size)",
        tests=(
            "core/crdt/text/test_text_document.py::test_t53_an_edit_outside_the_authors_view_does_nothing_on_every_path",
        ),
    ),
    Mutant(
        name="the order of arrival decides between equal clocks",
        traps=(57,),
        file="core/stamp.py",
        old="    return graph.id_of(lv) > graph.id_of(other_lv)",
        new="    return lv > other_lv",
        tests=("core/test_replica.py::test_t57_one_key_on_two_devices_converges_by_node_id",),
    ),
    Mutant(
        name="equal clocks of one author go to the one that was there",
        traps=(57,),
        file="core/stamp.py",
        old="    return graph.id_of(lv) > graph.id_of(other_lv)",
        new="    return False",
        tests=("core/test_replica.py::test_t57_one_key_on_two_devices_converges_by_node_id",),
    ),
    Mutant(
        name="concurrent texts of one author are told apart by arrival",
        traps=(57,),
        file="core/state.py",
        old="        return self._graph.author_of(lv) + self._graph.id_of(lv)",
        new='        return self._graph.author_of(lv) + lv.to_bytes(8, "big")',
        tests=("core/test_replica.py::test_t57_one_key_on_two_devices_converges_by_node_id",),
    ),
    Mutant(
        name="more than 64 heads become more than 64 parents",
        traps=(62,),
        file="core/node_writer.py",
        old="        while len(left) > MAX_PARENTS:\n",
        new="        while len(left) > 10 * MAX_PARENTS:\n",
        tests=("core/test_replica.py::test_t62_more_than_64_heads_are_merged_before_a_commit",),
    ),
    Mutant(
        name="a commit names only one of the heads",
        traps=(37, 62),
        file="core/node_writer.py",
        old="            parents = self._merge_down(heads, clock, nodes)\n",
        new="            parents = heads[-1:]\n",
        tests=("core/test_replica.py::test_t62_more_than_64_heads_are_merged_before_a_commit",),
    ),
    Mutant(
        name="a vanished node's heads are not merged",
        traps=(62,),
        file="core/reauthor.py",
        old="        while len(parents) > MAX_PARENTS:\n",
        new="        while len(parents) > 10 * MAX_PARENTS:\n",
        tests=(
            "core/test_reauthor.py::test_t62_a_vanished_node_that_held_many_heads_leaves_merges",
        ),
    ),
    Mutant(
        name="a new head replaces an older one",
        traps=(62,),
        file="core/graph.py",
        old="        frontier.append(lv)\n",
        new="        del frontier[100:]\n        frontier.append(lv)\n",
        tests=("core/test_graph.py::test_t62_many_heads_are_many_heads",),
    ),
)
