package org.logoutrelay.keycloak.containment;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

import org.junit.jupiter.api.Test;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.ledger.LedgerRow;
import org.logoutrelay.keycloak.ledger.Tables;

class RealmLogoutTest {
    @Test
    void everySubjectIsComeToOnceThoughManyHaveTheSameKey() {
        Tables tables = new Tables(Set.of());
        int template = tables.template("hash");
        List<String> users = IntStream.range(0, 250).mapToObj(n -> "user-" + n).toList();
        List<LedgerRow> rows = new ArrayList<>();
        for (String user : users) {
            rows.add(Tables.row(template, user, "first-" + user, 1));
            rows.add(Tables.row(template, user, "second-" + user, 1));
        }
        // The key of the one behind which a page ends.
        String last = users.stream().sorted(Comparator.comparing(Ids::key)).toList().get(99);
        rows.add(Tables.rowOfSameKey(template, last + "-too", last, "third"));
        tables.write(rows);
        RealmLogoutRow event = new RealmLogoutRow();
        event.realmId = Tables.REALM;
        event.atMs = 2000;
        event.reached = RealmLogout.FROM_THE_FIRST;
        List<String> all = new ArrayList<>();
        List<String> page;
        do {
            page = tables.in(session -> RealmLogout.subjectsAfter(session, event, 100));
            all.addAll(page);
            event.reached = page.isEmpty() ? event.reached : page.get(page.size() - 1);
        } while (!page.isEmpty());
        assertEquals(251, all.size());
        assertEquals(251, new HashSet<>(all).size());
        assertEquals(251, (long) tables.in(session -> RealmLogout.subjectsLeft(session, event)));
    }
}
