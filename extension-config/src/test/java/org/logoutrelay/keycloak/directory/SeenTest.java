package org.logoutrelay.keycloak.directory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.ledger.Tables;
import org.logoutrelay.keycloak.trigger.Trigger;

class SeenTest {
    private static final Provider PROVIDER = new Provider("provider", Tables.REALM);
    private static final String ANN = "f:provider:ann";
    private static final long FAR = 4_000_000_000L;
    private static final Change CHANGE = new Change(Trigger.DIRECTORY_PASSWORD_CHANGED, 5000, 5000, "later", false, 0);

    private final Tables tables = new Tables(Set.of());
    private int template;

    @BeforeEach
    void oneLoginThatBeganAfterASecond() {
        tables.in(session -> {
            List.of("SeenRow", "WatermarkRow").forEach(rows -> Jpa.em(session).createQuery("delete from " + rows).executeUpdate());
            return null;
        });
        template = tables.template("hash");
        tables.write(List.of(Tables.row(template, ANN, "session", FAR)));
    }

    private boolean note(SeenRow was, long oldUntilMs) {
        return tables.in(session -> new Look.Found(ANN, was, CHANGE).note(session, PROVIDER, oldUntilMs));
    }

    private SeenRow seen() {
        return tables.in(session -> LiveUsers.seen(session, List.of(ANN)).get(ANN));
    }

    private boolean hasFromBefore(long watermarkMs) {
        return tables.in(session -> LiveUsers.hasFromBefore(session, PROVIDER, ANN, watermarkMs));
    }

    private Set<String> late() {
        return tables.in(session -> LiveUsers.late(session, PROVIDER, List.of(ANN)));
    }

    private void watermark(String user, String sid, long ms) {
        tables.in(session -> {
            Jpa.em(session).persist(Watermarks.row(Tables.REALM, user, sid, ms, "txn-" + user + sid, Set.of()));
            return null;
        });
    }

    @Test
    void ofTwoWhoHaveSeenTheSameOneNotesIt() {
        assertTrue(note(null, 0));
        SeenRow was = seen();
        was.passwordClock = "earlier";
        assertFalse(note(was, 0));
        SeenRow is = seen();
        assertTrue(note(is, 7));
        assertFalse(note(is, 7));
    }

    @Test
    void aLoginFromBeforeIsFoundUntilAnEventHasEndedIt() {
        assertFalse(hasFromBefore(999));
        assertTrue(hasFromBefore(1000));
        watermark(ANN, "another session", 2000);
        assertTrue(hasFromBefore(1000));
        watermark(ANN, null, 2000);
        assertFalse(hasFromBefore(1000));
    }

    @Test
    void whatEndedEverybodyHasEndedItToo() {
        watermark(Watermarks.EVERYBODY, null, 2000);
        assertFalse(hasFromBefore(1000));
    }

    @Test
    void anOldLoginThatIsUsedAfterTheLookIsLate() {
        note(null, 0);
        assertEquals(Set.of(), late());
        note(seen(), 999);
        assertEquals(Set.of(), late());
        note(seen(), 1000);
        assertEquals(Set.of(ANN), late());
        watermark(ANN, null, 2000);
        assertEquals(Set.of(), late());
    }

    @Test
    void usersAreGoneThroughOneAfterTheOther() {
        tables.write(List.of(Tables.row(template, "f:provider:ben", "s", FAR), Tables.row(template, "f:provider:cleo", "s", FAR),
                Tables.row(template, "f:other:dora", "s", FAR), Tables.row(template, "f:provider:past", "s", 1),
                Tables.row(template, ANN, "another session", FAR)));
        String reached = LiveUsers.FROM_THE_FIRST;
        Set<String> found = new TreeSet<>();
        for (int n = 0; n < 3; n++) {
            String from = reached;
            List<String> page = tables.in(session -> LiveUsers.after(session, PROVIDER, from, 1));
            reached = page.get(0);
            assertTrue(found.add(reached));
        }
        String last = reached;
        assertEquals(List.of(), tables.in(session -> LiveUsers.after(session, PROVIDER, last, 1)));
        assertEquals(Set.of(ANN, "f:provider:ben", "f:provider:cleo"), found);
    }
}
