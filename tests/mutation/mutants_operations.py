"""Bugs in running it for years: metrics, other versions, drains, documentation, presence."""

from __future__ import annotations

from tests.mutation.mutant import Mutant

OPERATIONS = (
    Mutant(
        name="admitted nodes are counted again at every relay",
        traps=(39,),
        file="server/room.py",
        old="        self._admitted_nodes = 0\n        wait_s",
        new="        wait_s",
        tests=("server/test_routes.py::test_t39_a_node_is_counted_once_however_many_packs_follow",),
    ),
    Mutant(
        name="all servers of a process count together",
        traps=(39,),
        file="server/metrics.py",
        old="        self._registry = CollectorRegistry(auto_describe=True)\n",
        new="        self._registry = globals().setdefault(\n"
        '            "_ONE_REGISTRY", CollectorRegistry(auto_describe=False)\n        )\n'
        "        self._registry.register = lambda collector: None\n",
        tests=("server/test_parts.py::test_t39_two_servers_in_one_process_count_apart",),
    ),
    Mutant(
        name="what a client calls itself becomes a label",
        traps=(39,),
        file="server/hub.py",
        old='        name = OWN_CLIENT_NAME if is_own else "other"\n',
        new='        name = client.name if client is not None else "other"\n',
        tests=("server/test_routes.py::test_t39_what_clients_write_never_becomes_a_label",),
    ),
    Mutant(
        name="a close code of a client becomes a label",
        traps=(39,),
        file="server/hub.py",
        old='.labels(str(code) if code in _KNOWN_CODES else "other")',
        new=".labels(str(code))",
        tests=("server/test_routes.py::test_t39_a_close_code_of_a_client_becomes_no_label",),
    ),
    Mutant(
        name="an unknown type ends a client's session",
        traps=(43,),
        file="protocol/client_session.py",
        old='                return [Ignored(str(refused.reject.detail["type"]))]\n',
        new="                pass\n",
        tests=(
            "protocol/test_client_session.py::test_t43_an_unknown_type_is_passed_over_in_every_phase",
        ),
    ),
    Mutant(
        name="an unknown type ends a server's session",
        traps=(43,),
        file="protocol/server_session.py",
        old="            return limited or [self._answers.error(refusal.reject, refusal.ref)]\n",
        new="            return limited or self._refuse(refusal.reject, refusal.ref)\n",
        tests=(
            "protocol/test_server_session.py::test_t43_unknown_types_and_second_hellos_are_errors_and_the_session_goes_on",
        ),
    ),
    Mutant(
        name="unknown fields are refused",
        traps=(43,),
        file="protocol/messages/parts.py",
        old='class Message(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True):\n',
        new="class Message(\n"
        '    msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True,\n'
        "    forbid_unknown_fields=True,\n):\n",
        tests=(
            "protocol/test_codec.py::test_t43_unknown_fields_at_any_depth_of_any_message_are_ignored_on_both_sides",
        ),
    ),
    Mutant(
        name="unknown capabilities are agreed on",
        traps=(43,),
        file="protocol/capabilities.py",
        old="    met: Offer = {}\n    for row in CAPABILITIES:\n",
        new="    met: Offer = {name: True for name in theirs if theirs[name] is True}\n"
        "    for row in CAPABILITIES:\n",
        tests=(
            "protocol/test_client_people.py::test_t43_news_that_were_not_agreed_on_are_passed_over",
        ),
    ),
    Mutant(
        name="news that were not agreed on end a session",
        traps=(43,),
        file="protocol/client_session.py",
        old="            **dict.fromkeys(NEWS, self._on_news),\n",
        new="",
        tests=(
            "protocol/test_client_people.py::test_t43_news_that_were_not_agreed_on_are_passed_over",
        ),
    ),
    Mutant(
        name="a drain drops the packs in flight",
        traps=(44,),
        file="protocol/server_session.py",
        old="        return effects if self._intake else effects + self._leave()\n",
        new="        return effects + self._leave()\n",
        tests=(
            "protocol/test_server_session.py::test_t44_the_last_word_of_a_drain_is_a_checkpoint_of_what_was_acknowledged",
        ),
    ),
    Mutant(
        name="a drained session waits for ever",
        traps=(44,),
        file="protocol/server_session.py",
        old="        if self.state is State.DRAINING and not self._intake:\n"
        "            effects += self._leave()\n",
        new="",
        tests=(
            "protocol/test_server_session.py::test_t44_the_last_word_of_a_drain_is_a_checkpoint_of_what_was_acknowledged",
        ),
    ),
    Mutant(
        name="a drain waits for the last idle socket",
        traps=(44,),
        file="server/hub.py",
        old="            await asyncio.wait_for(self._all_closed.wait(),"
        " max(0.0, deadline - self.monotonic()))\n",
        new="            await self._all_closed.wait()\n",
        tests=(
            "server/test_drain.py::test_t44_the_deadline_of_a_drain_ends_what_does_not_end_by_itself",
        ),
    ),
    Mutant(
        name="packs whose signatures are being checked are given up in a drain",
        traps=(44,),
        file="server/hub.py",
        old="        self.is_draining = True\n",
        new="        self.is_draining = True\n        self._signature_turns.close()\n",
        tests=(
            "server/test_signature_turns.py::test_t44_a_drain_waits_for_packs_whose_signatures_are_being_checked",
        ),
    ),
    Mutant(
        name="a drain says nothing of what was acknowledged last",
        traps=(44,),
        file="protocol/server_session.py",
        old="        last = self._checkpoints.newest(self._room)\n",
        new="        last = None\n",
        tests=(
            "protocol/test_server_session.py::test_t44_the_last_word_of_a_drain_is_a_checkpoint_of_what_was_acknowledged",
        ),
    ),
    Mutant(
        name="a drained process says that it failed",
        traps=(44,),
        file="server/service.py",
        old="        os._exit(1)\n    return 0\n",
        new="        os._exit(1)\n    return 1\n",
        tests=(
            "server/test_drain.py::test_t44_a_signal_drains_the_process_and_it_exits_with_zero",
        ),
    ),
    Mutant(
        name="a metric has another name than in the documentation",
        traps=(45,),
        file="server/metrics.py",
        old='    MetricRow("lost_logs_total", "counter", "logs',
        new='    MetricRow("logs_lost_total", "counter", "logs',
        tests=("cli/test_how_to.py::test_t45_every_metric_on_a_page_is_declared",),
    ),
    Mutant(
        name="a limit's default is not the documented one",
        traps=(45,),
        file="protocol/limits.py",
        old="    presence_ttl_ms: int = 30_000\n",
        new="    presence_ttl_ms: int = 31_000\n",
        tests=("test_reference.py::test_t45_the_reference_is_what_the_declarations_generate",),
    ),
    Mutant(
        name="a documented option of a command is gone",
        traps=(45,),
        file="cli/loadtest.py",
        old='"--max-p99-ms"',
        new='"--longest-ack-ms"',
        tests=("cli/test_how_to.py::test_t45_every_command_on_a_page_exists_with_its_options",),
    ),
    Mutant(
        name="presence never expires",
        traps=(49,),
        file="server/presence.py",
        old="        if now < self._next_expiry:\n",
        new="        if now >= 0:\n",
        tests=(
            "server/test_presence.py::test_t49_presence_expires_by_the_clock_of_the_server_and_can_be_kept_alive",
        ),
    ),
    Mutant(
        name="presence that is shown again expires with the first time",
        traps=(49,),
        file="server/presence.py",
        old="        self.entries[session_id] = shown\n",
        new="        earlier = self.entries.get(session_id)\n"
        "        if earlier is not None:\n"
        "            shown.expires_at = earlier.expires_at\n"
        "        self.entries[session_id] = shown\n",
        tests=(
            "server/test_presence.py::test_t49_presence_that_is_shown_again_lasts_as_long_again",
        ),
    ),
    Mutant(
        name="a late joiner sees nobody",
        traps=(49,),
        file="server/company.py",
        old="        member.owe_snapshot(self.presence.entries)\n",
        new="",
        tests=(
            "server/test_presence.py::test_t49_presence_reaches_everybody_else_and_every_joiner",
        ),
    ),
    Mutant(
        name="an identity leaves with its first socket",
        traps=(49,),
        file="server/peers.py",
        old="        if sessions:\n            return None\n",
        new="",
        tests=(
            "server/test_presence.py::test_t49_two_overlapping_sockets_of_one_identity_do_not_flicker",
        ),
    ),
    Mutant(
        name="an identity joins with every socket",
        traps=(49,),
        file="server/company.py",
        old="        if identity is not None and identity not in self.peers:\n",
        new="        if identity is not None:\n",
        tests=(
            "server/test_presence.py::test_t49_two_overlapping_sockets_of_one_identity_do_not_flicker",
        ),
    ),
    Mutant(
        name="a session that is gone leaves its presence behind",
        traps=(49,),
        file="server/company.py",
        old="            self._presence_gone(member.session_id, identity, LEFT, member)\n",
        new="            pass\n",
        tests=(
            "server/test_presence.py::test_t49_presence_of_a_peer_that_crashed_without_a_close_goes_stale",
        ),
    ),
    Mutant(
        name="a client shows its presence once only",
        traps=(49,),
        file="client/presence.py",
        old="            self._beat = asyncio.get_running_loop().call_later(\n"
        "                lasts_ms / 1000 / BEATS_PER_LIFETIME, self._send\n            )\n",
        new="",
        tests=(
            "client/test_presence.py::test_t49_presence_is_shown_again_before_it_expires_until_it_is_cleared",
        ),
    ),
    Mutant(
        name="others stay shown after the connection is gone",
        traps=(49,),
        file="client/presence.py",
        old="        self._others.clear()\n",
        new="",
        tests=(
            "client/test_presence.py::test_t49_others_come_and_go_by_session_and_are_unknown_without_a_server",
        ),
    ),
)
