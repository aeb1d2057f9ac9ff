package org.logoutrelay.keycloak.upstream;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.ledger.Tables;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.outbox.OutboxRow;
import org.logoutrelay.keycloak.outbox.SecurityEvent;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;

class BehindTest {
    private static final long NOW_MS = 1_790_000_000_999L;

    private final Tables tables = new Tables(Set.of());

    @BeforeEach
    void anotherEventHasEndedTheSessions() {
        tables.in(session -> {
            Jpa.em(session).createQuery("delete from WatermarkRow").executeUpdate();
            Jpa.em(session).createQuery("delete from OutboxRow").executeUpdate();
            Jpa.em(session).persist(Watermarks.row(Tables.REALM, "anna", null, NOW_MS, "other", Set.of()));
            Trigger.Match match = new Trigger.Match(Trigger.byId("admin-logout"), "anna");
            Outbox.append(session, new OutboxRow(SecurityEvent.of(match, "other", Tables.REALM, "anna", "https://idp.example.org", false,
                    false, null, null, false), NOW_MS));
            return null;
        });
    }

    private boolean isKnown(String txn, long atMs, Policy.Step... steps) {
        WordRow word = new WordRow();
        word.userId = "anna";
        word.upstreamTxn = txn;
        word.atMs = atMs;
        return tables.in(session -> Behind.isKnown(session, word, Tables.REALM, Set.of(steps)));
    }

    @Test
    void aWordThatWouldEndSessionsAloneIsKnownWhereTheyHaveEndedSince() {
        assertTrue(isKnown("new", NOW_MS - 1_000));
        assertFalse(isKnown("new", NOW_MS + 1_000));
    }

    @Test
    void aWordWithFurtherStepsIsNotKnownWhereSessionsAloneHaveEndedSince() {
        assertFalse(isKnown("new", NOW_MS - 1_000, Policy.Step.CONSENTS));
    }

    @Test
    void aWordThatHasComeRoundIsKnownWhateverItsSteps() {
        assertTrue(isKnown("other", NOW_MS - 1_000, Policy.Step.CONSENTS));
    }
}
