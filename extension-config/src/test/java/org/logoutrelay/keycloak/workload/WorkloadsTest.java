package org.logoutrelay.keycloak.workload;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.ledger.Tables;

/** What is stored of what clients were given. */
class WorkloadsTest {
    private static final long DAY_MS = 24L * 3_600_000;
    private static final long MIDNIGHT = 20_000 * DAY_MS;
    private static final Workload.Room ROOM = new Workload.Room(Tables.REALM, "client", "client_credentials");

    private final Tables tables = new Tables(Set.of());

    @BeforeEach
    void empty() {
        tables.in(session -> Jpa.em(session).createQuery("delete from WorkloadRow").executeUpdate());
    }

    private static Workload at(String address) {
        return new Workload(ROOM, "account", true, address, "client-jwt", "kid-1");
    }

    private static Given given(long ms) {
        return Given.one(ms, ms / 1000 + 60, false, false);
    }

    private void write(Workload who, Given what) {
        tables.in(session -> {
            Workloads.store(session, ROOM, Map.of(who, what));
            return null;
        });
    }

    private List<WorkloadRow> rows() {
        return tables.in(session -> Jpa.em(session).createQuery("select w from WorkloadRow w order by w.firstMs", WorkloadRow.class)
                .getResultList());
    }

    @Test
    void whatTwoNodesHaveCountedOfOneWayAddsUp() {
        write(at("10.0.0.1"), given(MIDNIGHT + 5000).and(given(MIDNIGHT + 1000)));
        write(at("10.0.0.1"), Given.one(MIDNIGHT + 3000, MIDNIGHT / 1000 + 3603, false, true));
        write(at("10.0.0.2"), Given.one(MIDNIGHT + 9000, MIDNIGHT / 1000 + 10, true, false));
        List<WorkloadRow> rows = rows();
        assertEquals(List.of("10.0.0.1 3", "10.0.0.2 1"), rows.stream().map(row -> row.address + " " + row.uses).toList());
        WorkloadRow first = rows.get(0);
        assertEquals(List.of(MIDNIGHT + 1000, MIDNIGHT + 5000, 3600L, MIDNIGHT / 1000 + 3603, 0L, MIDNIGHT + 3000),
                List.of(first.firstMs, first.lastMs, first.longestS, first.latestEnd, first.refreshMs, first.offlineMs));
        assertEquals(List.of("account", "client-jwt", "kid-1", MIDNIGHT + 9000),
                List.of(first.accountId, first.method, first.key, rows.get(1).refreshMs));
        assertTrue(first.service);
    }

    @Test
    void whateverDiffersIsAWayOfItsOwn() {
        Workload.Room exchange = new Workload.Room(Tables.REALM, "client", "token-exchange");
        assertEquals(6, List.of(at("a"), at("b"), new Workload(exchange, "account", true, "a", "client-jwt", "kid-1"),
                new Workload(ROOM, "other", true, "a", "client-jwt", "kid-1"), new Workload(ROOM, "account", true, "a", "client-secret", "kid-1"),
                new Workload(ROOM, "account", true, "a", "client-jwt", "kid-2")).stream().map(Workload::id).distinct().count());
    }

    @Test
    void aClientHasRoomForAHundredWaysAndOneForTheOthers() {
        IntStream.range(0, 130).forEach(n -> write(at("10.0.0." + n), given(MIDNIGHT + n)));
        List<WorkloadRow> rows = rows();
        assertEquals(101, rows.size());
        assertEquals(List.of("", "", "", 30L), rows.stream().filter(row -> row.address.isEmpty())
                .flatMap(row -> List.<Object>of(row.accountId, row.method, row.key, row.uses).stream()).toList());
    }

    @Test
    void hoursAndDaysSayHowRegularItIs() {
        IntStream.range(0, 14).forEach(n -> write(at("10.0.0.1"), given(MIDNIGHT + n * DAY_MS + 2 * 3_600_000)));
        write(at("10.0.0.1"), given(MIDNIGHT + 13 * DAY_MS + 23 * 3_600_000).and(given(MIDNIGHT + 14 * DAY_MS + 1)));
        write(at("10.0.0.1"), given(MIDNIGHT + 14 * DAY_MS + 5000));
        WorkloadRow row = rows().get(0);
        assertEquals(15, row.days);
        assertEquals(1 << 2 | 1 << 23 | 1, row.hours);
    }

    @Test
    void whatHasNoEndHasNone() {
        Given none = Given.one(MIDNIGHT, Given.NO_END, false, false);
        assertEquals(Given.NO_END, none.and(given(MIDNIGHT)).latestEnd());
        assertEquals(Given.NO_END, none.longestS());
    }

    @Test
    void whatNobodyHasUsedForNinetyDaysIsForgotten() {
        write(at("old"), given(MIDNIGHT));
        write(at("young"), given(MIDNIGHT + DAY_MS));
        assertEquals(1, tables.<Integer>in(session -> Workloads.prune(session, MIDNIGHT + 90 * DAY_MS + 1)));
        assertEquals(List.of("young"), rows().stream().map(row -> row.address).toList());
    }

    @Test
    void ofPeopleOnlyWhatAJobWouldDoIsCounted() {
        assertTrue(Workloads.isCounted("client_credentials", true, null));
        assertTrue(Workloads.isCounted("jwt-bearer", false, null));
        assertTrue(Workloads.isCounted("password", false, "Refresh"));
        assertTrue(Workloads.isCounted("refresh_token", false, "Offline"));
        assertTrue(Workloads.isCounted("refresh_token", true, "Refresh"));
        assertFalse(Workloads.isCounted("refresh_token", false, "Refresh"));
        assertTrue(Workloads.isCounted("token-exchange", true, null));
        assertFalse(Workloads.isCounted("token-exchange", false, null));
        assertFalse(Workloads.isCounted("uma-ticket", false, null));
    }
}
