"""Bugs in who may do what: identities, signatures, rooms, handshakes, signed snapshots."""

from __future__ import annotations

from tests.mutation.mutant import Mutant

AUTHORITY = (
    Mutant(
        name="a claimed key needs no proof",
        traps=(1,),
        file="protocol/greeting.py",
        old='            raise Reject(RejectClass.PROOF_MISSING, "a public key needs a proof")',
        new="            return self._transcript(hello, self._origins[0])",
        tests=(
            "protocol/test_server_session.py::test_t1_a_claimed_key_without_its_proof_is_refused",
        ),
    ),
    Mutant(
        name="a proof is not checked",
        traps=(1,),
        file="protocol/greeting.py",
        old="if check_hello_proof(hello.pubkey, handshake, hello.proof):",
        new="if hello.proof:",
        tests=(
            "protocol/test_server_session.py::test_t1_a_claimed_key_without_its_proof_is_refused",
        ),
    ),
    Mutant(
        name="the handshake leaves out the room",
        traps=(1,),
        file="protocol/handshake.py",
        old="        room_id.encode(),\n",
        new='        b"",\n',
        tests=("protocol/test_handshake.py::test_t1_a_proof_holds_only_for_its_key_and_handshake",),
    ),
    Mutant(
        name="the handshake leaves out the key that is proven",
        traps=(1,),
        file="protocol/handshake.py",
        old="        client_key,\n        label",
        new='        b"",\n        label',
        tests=("protocol/test_handshake.py::test_t1_a_proof_holds_only_for_its_key_and_handshake",),
    ),
    Mutant(
        name="a signature holds for every purpose",
        traps=(1, 2, 56),
        file="core/signing.py",
        old='self.prefix = f"roomlog/{label}/v1\\x00".encode()',
        new='self.prefix = b"roomlog/v1\\x00"',
        tests=("protocol/test_handshake.py::test_t1_a_proof_is_no_signature_of_another_purpose",),
    ),
    Mutant(
        name="admission skips the signature",
        traps=(2,),
        file="server/admission.py",
        old="                check_signature(node)\n",
        new="                pass\n",
        tests=("server/test_admission.py::test_t2_unsigned_and_zero_signed_nodes_are_refused",),
    ),
    Mutant(
        name="an unsigned node passes",
        traps=(2,),
        file="core/node.py",
        old='        raise Reject(RejectClass.SIGNATURE_MISSING, "the node came unsigned")',
        new="        return",
        tests=("core/test_node.py::test_t2_a_node_without_its_authors_signature_is_refused",),
    ),
    Mutant(
        name="a signature of zeros passes",
        traps=(2,),
        file="core/signing.py",
        old="    try:\n        crypto_sign_open",
        new="    if not any(signature):\n        return True\n    try:\n        crypto_sign_open",
        tests=("core/test_node.py::test_t2_a_node_without_its_authors_signature_is_refused",),
    ),
    Mutant(
        name="a replica takes what nobody signed",
        traps=(2,),
        file="core/intake.py",
        old="            if verify:\n                check_signature(node)",
        new="            if verify and node.signature is not None:\n"
        "                check_signature(node)",
        tests=("core/test_replica.py::test_t2_an_unsigned_node_is_refused_when_signatures_count",),
    ),
    Mutant(
        name="faults found in a long pack's signatures are forgotten",
        traps=(2,),
        file="server/signature_turns.py",
        old="        elif self._faults is not None and index in self._faults:\n"
        "            raise self._faults[index]",
        new="        else:\n            return",
        tests=(
            "server/test_signature_turns.py::test_t2_a_forged_node_of_a_long_pack_is_refused_wherever_it_stands",
        ),
    ),
    Mutant(
        name="a policy key lets anybody's node in",
        traps=(3,),
        file="server/admission.py",
        old="            if node.author != author:\n",
        new='            if node.author != author and b"policy" not in (node.body or b""):\n',
        tests=(
            "server/test_admission.py::test_t3_no_key_or_value_inside_a_node_makes_a_difference",
        ),
    ),
    Mutant(
        name="a policy key switches a replica's checks off",
        traps=(3,),
        file="core/intake.py",
        old="            if verify:\n                check_signature(node)",
        new='            if verify and b"policy" not in (node.body or b""):\n'
        "                check_signature(node)",
        tests=("core/test_replica.py::test_t3_no_key_inside_a_node_does_anything_special",),
    ),
    Mutant(
        name="a signal goes to everybody",
        traps=(9,),
        file="server/company.py",
        old="        receivers = self.peers.sessions_of(to)\n",
        new="        receivers = list(self._members) if self.peers.sessions_of(to) else []\n",
        tests=(
            "server/test_presence.py::test_t9_a_signal_reaches_every_session_of_one_identity_and_nobody_else",
        ),
    ),
    Mutant(
        name="a signal goes to every label of a key",
        traps=(9,),
        file="server/company.py",
        old="        receivers = self.peers.sessions_of(to)\n",
        new="        receivers = [\n"
        "            each\n"
        "            for each in self._members\n"
        "            if each.identity is not None and each.identity.pubkey == to.pubkey\n"
        "        ]\n",
        tests=(
            "server/test_presence.py::test_t9_a_signal_reaches_every_session_of_one_identity_and_nobody_else",
        ),
    ),
    Mutant(
        name="a signal reaches one session of its peer only",
        traps=(9,),
        file="server/company.py",
        old="        for receiver in receivers:\n",
        new="        for receiver in receivers[:1]:\n",
        tests=(
            "server/test_presence.py::test_t9_a_signal_reaches_every_session_of_one_identity_and_nobody_else",
        ),
    ),
    Mutant(
        name="a node's id leaves out the lineage",
        traps=(10,),
        file="core/node.py",
        old="self._headers = KeyedHasher(lineage)",
        new="self._headers = KeyedHasher(BODY_KEY)",
        tests=(
            "core/test_node.py::test_t10_a_node_of_another_lineage_does_not_carry_its_signature_over",
        ),
    ),
    Mutant(
        name="a pack of any lineage is taken",
        traps=(10,),
        file="protocol/push_intake.py",
        old="        if message.lineage != self._lineage:",
        new="        if not message.lineage:",
        tests=("protocol/test_server_session.py::test_t10_a_pack_of_another_lineage_is_refused",),
    ),
    Mutant(
        name="nodes of anybody are taken from whoever carries them",
        traps=(54, 10),
        file="server/admission.py",
        old="            if node.author != author:\n",
        new="            if False:\n",
        tests=(
            "server/test_admission.py::test_t54_nodes_of_others_are_refused_whoever_carries_them",
        ),
    ),
    Mutant(
        name="a pack file of another lineage is imported",
        traps=(54,),
        file="core/export.py",
        old="    if found != lineage:",
        new="    if not found:",
        tests=("core/test_replica.py::test_t54_nodes_of_another_lineage_change_nothing",),
    ),
    Mutant(
        name="the handshake leaves out the dialled origin",
        traps=(55,),
        file="protocol/handshake.py",
        old="        origin.encode(),\n",
        new='        b"",\n',
        tests=(
            "protocol/test_client_session.py::test_t55_a_welcome_signed_for_another_origin_is_worth_nothing",
        ),
    ),
    Mutant(
        name="the handshake leaves out the server's nonce",
        traps=(55,),
        file="protocol/handshake.py",
        old="        server_nonce,\n        client_nonce,\n",
        new='        b"",\n        client_nonce,\n',
        tests=(
            "protocol/test_server_session.py::test_t55_a_proof_gathered_under_another_nonce_is_refused",
        ),
    ),
    Mutant(
        name="any origin that a hello names is taken for the server's",
        traps=(55,),
        file="protocol/greeting.py",
        old="origins = (hello.origin,) if hello.origin in origins else ()",
        new="origins = (hello.origin,)",
        tests=(
            "protocol/test_server_session.py::test_t55_a_named_origin_that_is_not_the_servers_is_refused_whatever_the_proof",
        ),
    ),
    Mutant(
        name="a named origin is one of several that are tried",
        traps=(55,),
        file="protocol/greeting.py",
        old="origins = (hello.origin,) if hello.origin in origins else ()",
        new="origins = origins if hello.origin in origins else ()",
        tests=(
            "protocol/test_server_session.py::test_t55_a_named_origin_is_the_only_one_a_proof_is_checked_for",
        ),
    ),
    Mutant(
        name="a client believes a welcome that is not signed for it",
        traps=(55,),
        file="protocol/client_handshake.py",
        old="        is_proven = self._is_proven(welcome)\n",
        new="        is_proven = True\n",
        tests=(
            "protocol/test_client_session.py::test_t55_a_welcome_signed_for_another_origin_is_worth_nothing",
        ),
    ),
    Mutant(
        name="a snapshot's signature is not checked",
        traps=(56,),
        file="core/snapshot/facts.py",
        old="    if not verify(server_key, Purpose.SNAPSHOT, facts.payload(), signature):",
        new="    if not signature:",
        tests=("core/snapshot/test_facts.py::test_t56_a_forged_frontier_is_not_built_upon",),
    ),
    Mutant(
        name="the authors of a snapshot's heads are not checked",
        traps=(56,),
        file="core/snapshot/facts.py",
        old="    for node in frontier:\n        check_signature(node)\n",
        new="",
        tests=(
            "core/snapshot/test_facts.py::test_t56_a_frontier_node_that_its_author_did_not_sign_is_not_built_upon",
        ),
    ),
    Mutant(
        name="a snapshot's state hash is believed",
        traps=(56,),
        file="core/snapshot/facts.py",
        old="    if hash_leaves(leaves) != facts.state_hash:",
        new="    if not facts.state_hash:",
        tests=("core/snapshot/test_facts.py::test_t56_a_state_hash_that_is_a_lie_is_not_believed",),
    ),
    Mutant(
        name="a snapshot's signature leaves out its frontier",
        traps=(56,),
        file="core/snapshot/facts.py",
        old="                *self.frontier,\n",
        new="",
        tests=("core/snapshot/test_facts.py::test_t56_a_swapped_frontier_node_is_not_built_upon",),
    ),
    Mutant(
        name="a snapshot's signature leaves out its place",
        traps=(56,),
        file="core/snapshot/facts.py",
        old='                self.seq.to_bytes(8, "big"),\n',
        new="",
        tests=("core/snapshot/test_facts.py::test_t56_a_moved_seq_is_not_believed",),
    ),
    Mutant(
        name="a snapshot's signature leaves out its lineage",
        traps=(56,),
        file="core/snapshot/facts.py",
        old="            (\n                self.lineage,\n",
        new="            (\n",
        tests=(
            "core/snapshot/test_facts.py::test_t56_the_signature_covers_the_bytes_of_the_document",
        ),
    ),
    Mutant(
        name="a snapshot's bytes need not be the signed ones",
        traps=(56,),
        file="core/snapshot/facts.py",
        old="    if hash_bytes(data) != digest:",
        new="    if not data:",
        tests=("core/snapshot/test_facts.py::test_t56_a_changed_state_is_not_built_upon",),
    ),
    Mutant(
        name="any checkpoint is evidence of a loss",
        traps=(63,),
        file="protocol/greeting.py",
        old="        return shown if check_checkpoint(self._signer.public_key, shown) else None",
        new="        return shown",
        tests=(
            "protocol/test_welcome.py::test_t63_a_claim_that_this_server_did_not_sign_changes_nothing_and_refuses_nobody",
        ),
    ),
    Mutant(
        name="a checkpoint's signature leaves out its frontier",
        traps=(63,),
        file="protocol/checkpoint.py",
        old='len(ordered).to_bytes(2, "big"), *ordered)',
        new='len(ordered).to_bytes(2, "big"))',
        tests=("protocol/test_checkpoint.py::test_t63_a_changed_checkpoint_is_no_evidence",),
    ),
    Mutant(
        name="a checkpoint of another lineage proves a loss",
        traps=(63,),
        file="protocol/checkpoint.py",
        old="    return checkpoint.lineage == room.lineage and not all(",
        new="    return not all(",
        tests=(
            "protocol/test_checkpoint.py::test_t63_a_checkpoint_of_another_lineage_says_nothing_of_this_log",
        ),
    ),
    Mutant(
        name="one proof of a loss renews the epoch every time",
        traps=(63,),
        file="server/reconcile.py",
        old="is_log_lost(checkpoint, room) and not room.windows.of_loss(checkpoint.epoch):",
        new="is_log_lost(checkpoint, room) and room.windows.beginning_of(checkpoint.epoch) < 1:",
        tests=(
            "server/test_window_abuse.py::test_t63_whoever_uses_up_what_he_may_bring_takes_nothing_from_honest_clients",
        ),
    ),
    Mutant(
        name="nodes of others that are under way do not count",
        traps=(63,),
        file="server/reconcile.py",
        old="        return max(0, most - self._under_way.get(submitter, 0))",
        new="        return most",
        tests=(
            "server/test_window_abuse.py::test_t63_packs_under_way_together_bring_no_more_of_others_than_one_after_the_other",
        ),
    ),
    Mutant(
        name="what somebody brought of others is not counted",
        traps=(63,),
        file="server/reconcile.py",
        old="                account[submitter] = held + paid\n",
        new="                account[submitter] = held\n",
        tests=(
            "server/test_window_abuse.py::test_t63_what_somebody_brought_of_others_counts_until_nothing_is_left",
        ),
    ),
)
