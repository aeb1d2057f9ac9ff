package org.logoutrelay.keycloak.workload;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.keycloak.events.Event;
import org.keycloak.models.KeycloakContext;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
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
        assertEquals(List.of("", "", "", 30L, MIDNIGHT, MIDNIGHT + 29), rows.stream().filter(row -> row.address.isEmpty())
                .flatMap(row -> List.<Object>of(row.accountId, row.method, row.key, row.uses, row.firstMs, row.lastMs).stream()).toList());
    }

    @Test
    void whoeverHasFilledTheRoomHidesNobodyWhoComesLater() {
        write(at("job"), given(MIDNIGHT));
        IntStream.range(0, 110).forEach(n -> write(at("made-up-" + n), given(MIDNIGHT + 1 + n)));
        write(at("job"), given(MIDNIGHT + 1000));
        write(at("thief"), given(MIDNIGHT + 2000));
        List<WorkloadRow> rows = rows();
        List<String> addresses = rows.stream().map(row -> row.address).toList();
        assertTrue(addresses.containsAll(List.of("job", "thief", "made-up-109")));
        assertFalse(addresses.contains("made-up-0"));
        assertEquals(101, rows.size());
        assertEquals(113, rows.stream().mapToLong(row -> row.uses).sum());
    }

    @Test
    void whatComesAtOnceTakesNoPlaceOfOneThatComesWithIt() {
        IntStream.range(0, 100).forEach(n -> write(at("known-" + n), given(MIDNIGHT + n)));
        Map<Workload, Given> batch = new HashMap<>();
        IntStream.range(0, 40).forEach(n -> batch.put(at("known-" + n), given(MIDNIGHT + DAY_MS)));
        IntStream.range(0, 60).forEach(n -> batch.put(at("new-" + n), given(MIDNIGHT + DAY_MS)));
        tables.in(session -> {
            Workloads.store(session, ROOM, batch);
            return null;
        });
        List<WorkloadRow> rows = rows();
        assertEquals(Map.of("known", 40L, "new", 60L, "", 1L),
                rows.stream().collect(Collectors.groupingBy(row -> row.address.split("-")[0], Collectors.counting())));
        assertEquals(200, rows.stream().mapToLong(row -> row.uses).sum());
        assertEquals(2, rows.stream().filter(row -> row.address.equals("known-0")).findFirst().orElseThrow().uses);
    }

    @Test
    void theOthersAreOnAsManyDaysAsWhoeverWasThereMost() {
        IntStream.range(0, 14).forEach(n -> write(at("first"), given(MIDNIGHT + n * DAY_MS)));
        IntStream.range(0, 100).forEach(n -> write(at("10.0.0." + n), given(MIDNIGHT + 20 * DAY_MS)));
        assertEquals(14, rows().stream().filter(row -> row.address.isEmpty()).findFirst().orElseThrow().days);
    }

    @Test
    void theEvidenceOfAnAccountNamesNoAddressThatIsNone() {
        write(at(""), given(MIDNIGHT));
        write(at("10.0.0.1"), given(MIDNIGHT + 1));
        assertEquals(List.of("10.0.0.1"),
                tables.in(session -> Workloads.ofAccount(session, tables.realm(), "account")).get("addresses"));
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

    /** Whose refresh it is, where the database, or a directory, must not be asked. */
    private static boolean isRefreshOfService(String link) {
        UserModel user = having(UserModel.class, Map.of("getId", "account", "getServiceAccountClientLink", Optional.ofNullable(link)));
        UserSessionModel of = having(UserSessionModel.class, Map.of("getUser", user));
        KeycloakContext context = having(KeycloakContext.class, Map.of("getUserSession", of));
        Event event = new Event();
        event.setUserId("account");
        return Workloads.isOfService(having(KeycloakSession.class, Map.of("getContext", context)), null, event, "refresh_token");
    }

    private static <T> T having(Class<T> type, Map<String, Object> answers) {
        return type.cast(Proxy.newProxyInstance(WorkloadsTest.class.getClassLoader(), new Class<?>[] {type}, (self, method, args) -> {
            Object answer = answers.get(method.getName());
            if (answer == null) {
                throw new AssertionError("It asks for " + method.getName());
            }
            return answer instanceof Optional<?> maybe ? maybe.orElse(null) : answer;
        }));
    }

    @Test
    void whoseRefreshItIsCostsNoLookUpOfTheUser() {
        assertFalse(isRefreshOfService(null));
        assertTrue(isRefreshOfService("client"));
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
