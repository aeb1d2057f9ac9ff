package org.logoutrelay.keycloak.ledger;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

import org.junit.jupiter.api.Test;
import org.keycloak.common.util.Time;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;

class LedgerPastTest {
    private static List<LedgerPast.Stretch> prune(Tables tables) {
        List<LedgerPast.Stretch> stretches = new ArrayList<>();
        LedgerPast.Stretch last = null;
        do {
            LedgerPast.Stretch before = last;
            last = tables.in(session -> LedgerPast.next(session, before));
            if (last != null) {
                LedgerPast.Stretch stretch = last;
                tables.in(session -> LedgerPast.prune(session, stretch));
                stretches.add(stretch);
            }
        } while (last != null);
        return stretches;
    }

    private static void storeSession(Tables tables, String sid, String offline) {
        tables.sql("insert into OFFLINE_USER_SESSION (USER_SESSION_ID, OFFLINE_FLAG, REALM_ID, USER_ID, CREATED_ON,"
                + " LAST_SESSION_REFRESH, VERSION) values ('" + sid + "', '" + offline + "', '" + Tables.REALM + "', 'u', 1, 1, 0)");
    }

    private static Map<String, Long> left(Tables tables) {
        return tables.in(session -> Jpa.em(session).createQuery("select l.sid, l.latestEnd from LedgerRow l", Object[].class)
                .getResultStream().collect(Collectors.toMap(row -> (String) row[0], row -> (Long) row[1])));
    }

    @Test
    void whatIsPastGoesUnlessItsSessionIsStored() {
        Tables tables = new Tables(Set.of());
        int template = tables.template("hash");
        long now = Time.currentTime();
        tables.write(List.of(Tables.row(template, "a", "online", now - 1), Tables.row(template, "a", "offline", 1),
                Tables.row(template, "a", "gone", now - 1), Tables.row(template, "a", "later", now + 1000)));
        storeSession(tables, "online", "0");
        storeSession(tables, "offline", "1");
        prune(tables);
        Map<String, Long> left = left(tables);
        assertEquals(Set.of("online", "offline", "later"), left.keySet());
        // Looked at again once it has been idle for so long.
        assertTrue(left.get("online") >= now + Tables.IDLE && left.get("offline") >= now + Tables.IDLE, left.toString());
    }

    @Test
    void aSessionThatIsInMemoryAloneLivesAndSoDoesOneThatCannotBeLookedAt() {
        Tables tables = new Tables(Set.of("in-memory"));
        int template = tables.template("hash");
        tables.write(List.of(Tables.row(template, "a", "in-memory", 1), Tables.row(template, "a", Tables.UNREADABLE, 2),
                Tables.row(template, "a", "offline", 3), Tables.row(template, "a", "gone", 4)));
        storeSession(tables, "offline", "1");
        prune(tables);
        assertEquals(Set.of("in-memory", "offline", Tables.UNREADABLE), left(tables).keySet());
    }

    @Test
    void anyNumberGoesInOneRunStretchByStretch() {
        Tables tables = new Tables(Set.of());
        int template = tables.template("hash");
        List<LedgerRow> rows = new ArrayList<>();
        // Many at once, and more of them in one second than a stretch is long.
        for (int n = 0; n < 13_000; n++) {
            rows.add(Tables.row(template, "u" + n, "s" + n, n < 7000 ? 7 : n));
        }
        tables.write(rows);
        assertEquals(3, prune(tables).size());
        assertEquals(Map.of(), left(tables));
    }

    @Test
    void aTemplateGoesOnceThereIsNoRowOfItAndNoNodeHasUsedItForADay() {
        Tables tables = new Tables(Set.of());
        long now = Time.currentTimeMillis();
        long day = 24L * 60 * 60 * 1000;
        int withRow = tables.template("with-row");
        tables.template("unused");
        tables.template("in-use");
        tables.write(List.of(Tables.row(withRow, "a", "s", Time.currentTime() + 1000)));
        tables.sql("update LOGOUT_RELAY_LEDGER_TEMPLATE set USED_MS = " + (now - day - 1000));
        tables.sql("update LOGOUT_RELAY_LEDGER_TEMPLATE set USED_MS = " + (now - day + 60_000) + " where HASH = 'in-use'");
        assertEquals(1, (int) tables.in(Templates::prune));
        assertEquals(Set.of("with-row", "in-use"), tables.in(session -> new TreeSet<>(Jpa.em(session)
                .createQuery("select t.hash from TemplateRow t", String.class).getResultList())));
    }

    @Test
    void oneIdIsNotTakenForAnotherWithTheSameKey() {
        Tables tables = new Tables(Set.of());
        int template = tables.template("hash");
        LedgerRow other = Tables.row(template, "mallory", "sid-of-mallory", Long.MAX_VALUE);
        other.userKey = Ids.key("alice");
        other.sidKey = Ids.key("sid-of-alice");
        other.loginBegan = 5000;
        tables.write(List.of(Tables.row(template, "alice", "sid-of-alice", Long.MAX_VALUE), other));
        tables.in(session -> {
            assertEquals(1000, Ledger.newestLogin(session, Tables.REALM, "alice"));
            assertEquals(Set.of("client sid-of-alice"), Ledger.before(session, tables.realm(), "alice", 9000).keySet());
            assertEquals("alice", Ledger.userOf(session, tables.realm(), "sid-of-alice"));
            assertEquals(Set.of("client sid-of-alice"), Ledger.newestLogins(session, List.of("sid-of-alice")).keySet());
            return null;
        });
    }
}
