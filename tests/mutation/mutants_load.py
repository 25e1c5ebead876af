"""Bugs in what others can make a peer spend: memory, work, time, turns."""

from __future__ import annotations

from tests.mutation.mutant import Mutant

LOAD = (
    Mutant(
        name="a slow reader's queue has no bound",
        traps=(28,),
        file="server/reader.py",
        old="                    outlet.get_write_buffer_size() > most\n",
        new="                    outlet.get_write_buffer_size() > 1 << 40\n",
        tests=(
            "server/test_reading.py::test_t28_a_slow_reader_costs_bounded_memory_and_still_gets_everything",
        ),
    ),
    Mutant(
        name="a feed does not wait for the socket",
        traps=(28,),
        file="server/feeder.py",
        old="        after = self._after\n        await self.drained()\n",
        new="        after = self._after\n",
        tests=(
            "server/test_reading.py::test_t28_a_slow_reader_costs_bounded_memory_and_still_gets_everything",
        ),
    ),
    Mutant(
        name="a reader that takes nothing is kept",
        traps=(28,),
        file="server/connection.py",
        old="        elif is_drowning or now - self._progress_at >= stall_seconds:\n",
        new="        elif is_drowning:\n",
        tests=(
            "server/test_reading.py::test_t28_a_reader_that_takes_nothing_for_too_long_is_cut_off",
        ),
    ),
    Mutant(
        name="a reader that drowns in answers is kept",
        traps=(28,),
        file="server/connection.py",
        old="        is_drowning = waiting_bytes > self",
        new="        is_drowning = waiting_bytes > (1 << 40) + self",
        tests=(
            "server/test_liveness.py::test_t28_a_reader_that_asks_for_more_than_it_takes_is_cut",
        ),
    ),
    Mutant(
        name="news of others pile up for a slow reader",
        traps=(28,),
        file="server/company.py",
        old="        return self.is_waiting or self.outlet.waiting_bytes > LAGGING_BYTES\n",
        new="        return self.is_waiting\n",
        tests=(
            "server/test_presence.py::test_t28_presence_of_others_does_not_grow_the_memory_of_a_slow_reader",
        ),
    ),
    Mutant(
        name="a reader that fell behind is cut off",
        traps=(28,),
        file="server/reader.py",
        old="        position = pages[0].from_seq - 1\n",
        new="        position = pages[-1].to_seq\n",
        tests=(
            "server/test_reading.py::test_t28_a_slow_reader_costs_bounded_memory_and_still_gets_everything",
        ),
    ),
    Mutant(
        name="a declared backlog is not granted",
        traps=(29,),
        file="protocol/credit.py",
        old="        if given > 0:\n            self.granted += given\n",
        new="",
        tests=("protocol/test_credit.py::test_t29_a_declared_backlog_is_granted_as_it_is_settled",),
    ),
    Mutant(
        name="a backlog is granted to whoever declared none",
        traps=(29,),
        file="protocol/credit.py",
        old="        given = min(amount, self.backlog, self.spent",
        new="        given = min(amount, self.spent",
        tests=(
            "protocol/test_server_credit.py::test_t29_what_was_not_declared_is_granted_at_the_live_rate_only",
        ),
    ),
    Mutant(
        name="credit is not enforced",
        traps=(29,),
        file="protocol/credit.py",
        old="        return self._nodes.spent <= self._announced_nodes\n",
        new="        return True\n",
        tests=("protocol/test_credit.py::test_t29_a_declared_backlog_is_granted_as_it_is_settled",),
    ),
    Mutant(
        name="credit for bytes is not enforced",
        traps=(29,),
        file="protocol/credit.py",
        old="        return self._bytes.spent <= self._announced_bytes\n",
        new="        return True\n",
        tests=(
            "protocol/test_server_credit.py::test_t29_a_flood_beyond_the_credit_ends_with_4008",
        ),
    ),
    Mutant(
        name="every request costs as little as a ping",
        traps=(30,),
        file="protocol/message_cost.py",
        old="        return steps + max(costs, default=LEAST_REQUEST_COST)\n",
        new="        return steps + LEAST_COST\n",
        tests=("protocol/test_message_cost.py::test_t30_each_row_is_what_is_taken",),
    ),
    Mutant(
        name="long frames cost nothing more",
        traps=(30,),
        file="protocol/message_cost.py",
        old="    steps = frame_bytes // FRAME_STEP_BYTES\n",
        new="    steps = 0\n",
        tests=("protocol/test_message_cost.py::test_t30_each_row_is_what_is_taken",),
    ),
    Mutant(
        name="messages beyond the rate are answered all the same",
        traps=(30,),
        file="protocol/message_rate.py",
        old="        if level >= 0:\n",
        new="        if level >= 0 or not self.is_flooded:\n",
        tests=(
            "protocol/test_server_session.py::test_t30_messages_beyond_the_bucket_are_refused_and_a_flood_ends_the_session",
        ),
    ),
    Mutant(
        name="a flood never ends the session",
        traps=(30,),
        file="protocol/message_rate.py",
        old="        self.is_flooded = level < -self._depth\n",
        new="        self.is_flooded = False\n",
        tests=("protocol/test_message_cost.py::test_t30_no_message_can_be_repeated_for_ever",),
    ),
    Mutant(
        name="pings of the socket are free",
        traps=(30,),
        file="protocol/server_session.py",
        old="        return self._rate_limited(LEAST_COST, None, now_ms)\n",
        new="        return []\n",
        tests=("protocol/test_server_session.py::test_t30_control_frames_draw_on_the_messages",),
    ),
    Mutant(
        name="packs that bring no nodes are free",
        traps=(30,),
        file="protocol/push_intake.py",
        old="        if nodes == 0 or fault is not None:\n",
        new="        if fault is not None:\n",
        tests=(
            "protocol/test_server_session.py::test_t30_packs_that_cost_no_credit_draw_on_the_messages",
        ),
    ),
    Mutant(
        name="refused packs are free",
        traps=(30,),
        file="protocol/push_intake.py",
        old="        if nodes == 0 or fault is not None:\n",
        new="        if nodes == 0:\n",
        tests=(
            "protocol/test_server_session.py::test_t30_packs_that_are_refused_draw_on_the_messages_whatever_credit_is_left",
        ),
    ),
    Mutant(
        name="every presence of a flood waits",
        traps=(30,),
        file="server/company.py",
        old="            if self._waiting_shows.get(session_id, -1) < self._last_entered:\n",
        new="            if self._waiting_shows is not None:\n",
        tests=(
            "server/test_company.py::test_t30_a_flood_of_presence_waits_as_the_newest_of_each_session_alone",
        ),
    ),
    Mutant(
        name="a welcome names all of history",
        traps=(31,),
        file="protocol/greeting.py",
        old="        seq, frontier = room.head_seq, room.frontier_ids()\n",
        new="        seq = room.head_seq\n"
        "        frontier = sorted(room.id_at(each) for each in range(1, seq + 1))\n",
        tests=(
            "protocol/test_capability_matrix.py::test_t31_a_handshake_and_catch_up_cost_the_same_bytes_however_long_the_log_is",
        ),
    ),
    Mutant(
        name="a client that has everything reads everything",
        traps=(31,),
        file="protocol/log_reader.py",
        old="            self._ask_after(cursor.seq)\n            return",
        new="            self._ask_after(0)\n            return",
        tests=(
            "protocol/test_capability_matrix.py::test_t31_a_handshake_and_catch_up_cost_the_same_bytes_however_long_the_log_is",
        ),
    ),
    Mutant(
        name="a cursor at the head does not count as nothing missing",
        traps=(31,),
        file="protocol/ladder.py",
        old='        return "none" if cursor.seq == head else "cursor"\n',
        new='        return "cut" if cursor.seq == head else "cursor"\n',
        tests=(
            "protocol/test_capability_matrix.py::test_t31_a_handshake_and_catch_up_cost_the_same_bytes_however_long_the_log_is",
        ),
    ),
    Mutant(
        name="a walk that meets unknown ids sends everything",
        traps=(32,),
        file="protocol/requests.py",
        old="                if unknown:\n",
        new="                if unknown and not message.stop_at_unknown:\n",
        tests=(
            "protocol/test_requests.py::test_t32_a_walk_that_meets_unknown_ids_sends_nothing_but_says_which",
        ),
    ),
    Mutant(
        name="a cut far below is read on from without a walk",
        traps=(32,),
        file="protocol/log_reader.py",
        old="        if is_far and self._past.frontier:\n",
        new="        if False:\n",
        tests=(
            "protocol/test_client_ladder.py::test_t32_logs_in_another_order_are_walked_and_not_read_anew",
        ),
    ),
    Mutant(
        name="a walk gives up when the server lacks a head",
        traps=(32,),
        file="protocol/log_reader.py",
        old="                ids = walk.ids()\n                if ids:\n",
        new="                ids = walk.ids()\n                if not ids:\n",
        tests=(
            "protocol/test_client_ladder.py::test_t32_a_head_that_the_server_lacks_is_looked_for_and_what_is_below_it_is_not_sent",
        ),
    ),
    Mutant(
        name="a walk counts what it was told wrong by one",
        traps=(32,),
        file="protocol/frontier_walk.py",
        old="            self._is_known[node_id] = index not in lacking\n",
        new="            self._is_known[node_id] = index + 1 not in lacking\n",
        tests=(
            "protocol/test_client_ladder.py::test_t32_a_head_that_the_server_lacks_is_looked_for_and_what_is_below_it_is_not_sent",
        ),
    ),
    Mutant(
        name="a cut asks for pairs that tell nothing",
        traps=(32,),
        file="protocol/log_reader.py",
        old="        search.learn(end)\n",
        new="",
        tests=(
            "protocol/test_client_ladder.py::test_t32_logs_in_another_order_are_walked_and_not_read_anew",
        ),
    ),
    Mutant(
        name="a dead socket is never cut",
        traps=(34,),
        file="server/connection.py",
        old="        if now - self._last_seen >= interval * (limits.pings_missed + 1):\n",
        new="        if now - self.opened >= 10**6:\n",
        tests=(
            "server/test_liveness.py::test_t34_a_half_open_socket_is_cut_although_nothing_ever_fails",
        ),
    ),
    Mutant(
        name="nobody is pinged",
        traps=(34,),
        file="server/connection.py",
        old='            self.write(server_frame(PING, b""))\n',
        new="",
        tests=(
            "server/test_liveness.py::test_t34_a_half_open_socket_is_cut_although_nothing_ever_fails",
        ),
    ),
    Mutant(
        name="a pong is no sign of life",
        traps=(34,),
        file="server/connection.py",
        old="        now = self._last_seen = self.hub.monotonic()\n"
        "        self._do(self.session.receive_control(int(now * 1000)))\n",
        new="        now = self.hub.monotonic()\n"
        "        self._do(self.session.receive_control(int(now * 1000)))\n",
        tests=(
            "server/test_liveness.py::test_t34_a_half_open_socket_is_cut_although_nothing_ever_fails",
        ),
    ),
    Mutant(
        name="a socket may say hello whenever it likes",
        traps=(34,),
        file="protocol/server_session.py",
        old="            if now_ms - self._started_ms >= self._limits.hello_wait_ms:\n",
        new="            if now_ms - self._started_ms >= 1000 * self._limits.hello_wait_ms:\n",
        tests=("server/test_sessions.py::test_t34_no_hello_in_time_ends_the_session",),
    ),
    Mutant(
        name="what does not fit the frame of a subscriber is dropped",
        traps=(35,),
        file="server/subscriptions.py",
        old="split += join_pages([page], hasher, max_nodes=max_nodes, max_bytes=max_bytes)\n",
        new="split += [page] if len(page.nodes) <= max_bytes else []\n",
        tests=("server/test_subscriptions.py::test_t35_hashes_that_make_a_page_too_long_split_it",),
    ),
    Mutant(
        name="a page of a subscriber is not split",
        traps=(35,),
        file="server/subscriptions.py",
        old="split += join_pages([page], hasher, max_nodes=max_nodes, max_bytes=max_bytes)\n",
        new="split += [page]\n",
        tests=("server/test_subscriptions.py::test_t35_hashes_that_make_a_page_too_long_split_it",),
    ),
    Mutant(
        name="waits before coming back are not spread",
        traps=(36,),
        file="client/backoff.py",
        old="        return self._random() * bound\n",
        new="        return bound\n",
        tests=(
            "client/test_feeds.py::test_t36_waits_double_up_to_a_bound_and_are_spread_over_all_of_it",
        ),
    ),
    Mutant(
        name="waits before coming back do not grow",
        traps=(36,),
        file="client/backoff.py",
        old="        self._failures += 1\n",
        new="",
        tests=(
            "client/test_feeds.py::test_t36_waits_double_up_to_a_bound_and_are_spread_over_all_of_it",
        ),
    ),
    Mutant(
        name="everybody keeps a hint to the millisecond",
        traps=(36,),
        file="client/backoff.py",
        old="        return hint_s + self._random() * max(hint_s, self._first_s)\n",
        new="        return hint_s\n",
        tests=("client/test_feeds.py::test_t36_a_hint_is_kept_and_spread",),
    ),
    Mutant(
        name="a drain gives everybody the same hint",
        traps=(36,),
        file="server/hub.py",
        old="random_below(config.drain_spread_ms + 1)",
        new="random_below(1)",
        tests=("server/test_drain.py::test_t36_retry_hints_are_spread",),
    ),
    Mutant(
        name="a hint of the server is not waited for",
        traps=(36,),
        file="client/connection.py",
        old="        if ended.hint_ms is not None:\n",
        new="        if ended.hint_ms is not None and ended.is_at_once:\n",
        tests=("client/test_coming_back.py::test_t36_a_drain_is_shown_and_its_hint_waited_for",),
    ),
    Mutant(
        name="each client of a storm loads the room for itself",
        traps=(36,),
        file="server/registry.py",
        old="            task = self._opening.get(room_id)\n",
        new="            task = None\n",
        tests=(
            "server/test_reconnect_storm.py::test_t36_a_storm_of_500_clients_is_let_in_and_the_room_opened_once",
        ),
    ),
    Mutant(
        name="a wide frontier is left to grow",
        traps=(37,),
        file="server/room.py",
        old="        if len(heads) <= MERGE_ABOVE_HEADS or self._merger",
        new="        if len(heads) <= 2 * MERGE_ABOVE_HEADS or self._merger",
        tests=(
            "server/test_wide_frontier.py::test_t37_sixteen_heads_are_left_alone_and_seventeen_become_one",
        ),
    ),
    Mutant(
        name="the server signs a merge before the last one is durable",
        traps=(37,),
        file="server/room.py",
        old=" or self._merger.is_busy or self._is_ambiguous:\n",
        new=" or self._is_ambiguous:\n",
        tests=("server/test_wide_frontier.py::test_t37_at_most_one_merge_is_signed_a_tick",),
    ),
    Mutant(
        name="the server merges sixteen heads already",
        traps=(37,),
        file="server/room.py",
        old="        if len(heads) <= MERGE_ABOVE_HEADS or",
        new="        if len(heads) < MERGE_ABOVE_HEADS or",
        tests=(
            "server/test_wide_frontier.py::test_t37_sixteen_heads_are_left_alone_and_seventeen_become_one",
        ),
    ),
    Mutant(
        name="the graph is searched in one go",
        traps=(38,),
        file="server/answers.py",
        old="        while not difference.advance(CHAINS_A_STEP):\n",
        new="        while not difference.advance(10**9):\n",
        tests=(
            "server/test_reading.py::test_t38_others_are_served_while_the_log_is_searched_for_what_a_frontier_lacks",
        ),
    ),
    Mutant(
        name="the signatures of a long pack are checked in one go",
        traps=(38,),
        file="server/signature_turns.py",
        old="        end = min(self._position + AT_ONCE, len(self._nodes))\n",
        new="        end = len(self._nodes)\n",
        tests=(
            "server/test_signature_turns.py::test_t38_a_long_pack_does_not_hold_up_another_session",
        ),
    ),
    Mutant(
        name="a long pack keeps its turn until it is through",
        traps=(38,),
        file="server/signature_turns.py",
        old="            await asyncio.sleep(0)\n",
        new="            if pack.signatures.is_complete:\n                await asyncio.sleep(0)\n",
        tests=(
            "server/test_signature_turns.py::test_t38_a_long_pack_does_not_hold_up_another_session",
        ),
    ),
    Mutant(
        name="a short pack may stand for millions of operations",
        traps=(38,),
        file="core/pack/body_columns.py",
        old="    return min(MAX_OPERATIONS, FREE_OPERATIONS_A_NODE * count + block_bytes)\n",
        new="    return MAX_OPERATIONS\n",
        tests=(
            "core/pack/test_hostile_packs.py::test_t38_what_a_pack_costs_its_reader_follows_from_its_nodes_and_bytes",
        ),
    ),
    Mutant(
        name="any number of patterns is taken",
        traps=(47,),
        file="protocol/subscription_list.py",
        old="    if len(patterns) > limits.subscription_patterns:\n",
        new="    if len(patterns) > 10**6:\n",
        tests=(
            "protocol/test_subscription_list.py::test_t47_too_many_too_long_or_none_at_all_are_refused_by_name",
        ),
    ),
    Mutant(
        name="patterns of any length are taken",
        traps=(47,),
        file="core/patterns.py",
        old="    if size_bytes > MAX_PATTERN_BYTES:\n",
        new="    if size_bytes > 10**6:\n",
        tests=("core/test_patterns.py::test_t47_patterns_are_bounded_in_number_and_length",),
    ),
    Mutant(
        name="a set has any number of patterns",
        traps=(47,),
        file="core/patterns.py",
        old="        if not given or len(given) > MAX_PATTERNS:\n",
        new="        if not given:\n",
        tests=("core/test_patterns.py::test_t47_patterns_are_bounded_in_number_and_length",),
    ),
    Mutant(
        name="what a pattern costs is not counted",
        traps=(47,),
        file="core/patterns.py",
        old="        self.step_cost: int = 1 + places // _PLACES_A_UNIT\n",
        new="        self.step_cost: int = 1\n",
        tests=(
            "server/test_costly_patterns.py::test_t47_what_a_set_costs_is_what_its_places_cost",
        ),
    ),
    Mutant(
        name="a key is read once for every place of a pattern",
        traps=(47,),
        file="core/patterns.py",
        old='        for byte in key.encode() + b"/":\n',
        new="        for _ in range(len(self.patterns)):\n"
        "            for byte in key.encode():\n"
        "                places | literals.get(byte, 0)\n"
        '        for byte in key.encode() + b"/":\n',
        tests=(
            "core/test_patterns.py::test_t47_a_key_costs_one_step_a_byte_whatever_the_patterns_are",
        ),
    ),
    Mutant(
        name="a relay looks through whatever patterns cost",
        traps=(47,),
        file="server/subscriptions.py",
        old="        if self._nodes_left < 0 or self._work_left < 0:\n",
        new="        if self._nodes_left < 0:\n",
        tests=(
            "server/test_costly_patterns.py::test_t47_the_loop_leaves_costly_sets_to_threads_and_cheap_ones_not",
        ),
    ),
    Mutant(
        name="a session without credit hears no more of it",
        traps=(58,),
        file="protocol/push_intake.py",
        old="return self._credit.announce() if self._credit.is_worth_announcing() else None\n",
        new="return None\n",
        tests=(
            "protocol/test_server_credit.py::test_t58_a_session_without_credit_is_answered_in_everything_but_packs",
        ),
    ),
    Mutant(
        name="credit of bytes alone is not announced",
        traps=(58,),
        file="protocol/credit.py",
        old="self._announced_nodes, 1) or _is_short(\n"
        "            self._bytes, self._announced_bytes, LONGEST_PUSH_BYTES\n        )",
        new="self._announced_nodes, 1)",
        tests=(
            "protocol/test_server_credit.py::test_t58_a_session_without_credit_is_answered_in_everything_but_packs",
        ),
    ),
    Mutant(
        name="a session whose pack is under way is not read",
        traps=(58,),
        file="protocol/server_session.py",
        old="                return self._converse(frame, now_ms)\n",
        new="                return [] if self._intake else self._converse(frame, now_ms)\n",
        tests=(
            "protocol/test_server_credit.py::test_t58_a_session_without_credit_is_answered_in_everything_but_packs",
        ),
    ),
)
