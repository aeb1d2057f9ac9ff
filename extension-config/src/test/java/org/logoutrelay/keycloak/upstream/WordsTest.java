package org.logoutrelay.keycloak.upstream;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Set;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.ledger.Tables;

class WordsTest {
    private static final String PASSWORD = "upstream-password-changed";
    private static final String SESSIONS = "upstream-sessions-revoked";
    private static final long WINDOW_MS = 1_000;

    private final Tables tables = new Tables(Set.of());

    @BeforeEach
    void forget() {
        tables.in(session -> Jpa.em(session).createQuery("delete from WordRow").executeUpdate());
    }

    private static SourceRow source(long decidedMs) {
        SourceRow source = new SourceRow();
        source.id = "source";
        source.realmId = Tables.REALM;
        source.iss = "https://login.example.com";
        source.decidedMs = decidedMs;
        return source;
    }

    private static WordRow word(String message, String user, String trigger, long atMs, long heardMs) {
        WordRow row = new WordRow();
        row.id = message + " " + user;
        row.sourceId = "source";
        row.userId = user;
        row.triggerId = trigger;
        row.upstreamTxn = "txn";
        row.atMs = atMs;
        row.heardMs = heardMs;
        return row;
    }

    private String judge(WordRow word, long limit, long decidedMs) {
        return tables.in(session -> Words.judge(session, source(decidedMs), word, limit, WINDOW_MS));
    }

    private String judge(WordRow word) {
        return judge(word, 100, 0);
    }

    private List<String> rows() {
        return tables.in(session -> Jpa.em(session).createQuery("select concat(w.userId, ' ', w.state, ' ', cast(w.atMs as string))"
                + " from WordRow w order by w.userId, w.atMs", String.class).getResultList());
    }

    @Test
    void aMessageThatComesAgainIsKnownWhateverTimeItHas() {
        assertEquals("contained", judge(word("one", "anna", PASSWORD, 10, 10)));
        assertEquals("known", judge(word("one", "anna", PASSWORD, 10, 11)));
        assertEquals("known", judge(word("one", "anna", SESSIONS, 99, 99)));
        assertEquals(List.of("anna done 10"), rows());
    }

    @Test
    void anOlderEventOfTheKindEndsNothingMoreAndAYoungerOneDoes() {
        judge(word("one", "anna", PASSWORD, 10, 10));
        assertEquals("known", judge(word("two", "anna", PASSWORD, 9, 11)));
        assertEquals("known", judge(word("three", "anna", PASSWORD, 10, 12)));
        assertEquals("contained", judge(word("four", "anna", PASSWORD, 11, 13)));
        assertEquals("contained", judge(word("five", "anna", SESSIONS, 5, 14)));
        assertEquals("contained", judge(word("one", "ben", PASSWORD, 5, 15)));
    }

    @Test
    void theLimitIsOfOtherUsersWithinTheWindow() {
        assertEquals("contained", judge(word("1", "anna", PASSWORD, 1_000, 1_000), 2, 0));
        assertEquals("contained", judge(word("2", "anna", PASSWORD, 1_100, 1_100), 2, 0));
        assertEquals("contained", judge(word("3", "ben", PASSWORD, 2_000, 2_000), 2, 0));
        assertEquals("contained", judge(word("4", "carl", PASSWORD, 2_101, 2_101), 2, 0));
        assertEquals("held", judge(word("5", "dora", PASSWORD, 2_102, 2_102), 2, 0));
    }

    @Test
    void oneUserIsEndedNoMoreOftenThanTheLimitEither() {
        assertEquals("contained", judge(word("1", "anna", PASSWORD, 1_000, 1_000), 2, 0));
        assertEquals("contained", judge(word("2", "anna", SESSIONS, 1_001, 1_001), 2, 0));
        assertEquals("held", judge(word("3", "anna", PASSWORD, 1_002, 1_002), 2, 0));
        forget();
        assertEquals("contained", judge(word("1", "anna", PASSWORD, 1_000, 1_000), 2, 0));
        assertEquals("contained", judge(word("2", "anna", SESSIONS, 1_001, 1_001), 2, 0));
        assertEquals("contained", judge(word("3", "anna", PASSWORD, 2_000, 2_000), 2, 0));
        assertEquals("contained", judge(word("4", "anna", SESSIONS, 2_001, 2_001), 2, 0));
        assertEquals("contained", judge(word("5", "anna", PASSWORD, 2_002, 2_002), 2, 2_001));
    }

    @Test
    void noneIsTheLimitOfWhoHasToBeAskedAlways() {
        assertEquals("held", judge(word("1", "anna", PASSWORD, 1_000, 1_000), 0, 0));
    }

    @Test
    void whatIsHeldHoldsAllThatComesAfterIt() {
        judge(word("1", "anna", PASSWORD, 1_000, 1_000), 0, 0);
        assertEquals("held", judge(word("2", "ben", PASSWORD, 9_000, 9_000)));
    }

    @Test
    void whatIsHeldIsOneRowForAUserHoweverOftenItIsSaid() {
        judge(word("1", "anna", PASSWORD, 1_000, 1_000), 0, 0);
        assertEquals("held", judge(word("2", "anna", PASSWORD, 2_000, 2_000), 0, 0));
        assertEquals("known", judge(word("3", "anna", PASSWORD, 1_500, 3_000), 0, 0));
        assertEquals(List.of("anna held 2000"), rows());
    }

    @Test
    void aDecisionIsAboutWhatIsHeldAndBeginsTheCountAnew() {
        judge(word("1", "anna", PASSWORD, 1_000, 1_000), 1, 0);
        judge(word("2", "ben", PASSWORD, 1_001, 1_001), 1, 0);
        tables.in(session -> {
            Words.decide(session, source(0), true);
            return null;
        });
        assertEquals(List.of("anna done 1000", "ben confirmed 1001"), rows());
        assertEquals("contained", judge(word("3", "carl", PASSWORD, 1_003, 1_003), 1, 1_002));
        assertEquals("held", judge(word("4", "dora", PASSWORD, 1_004, 1_004), 1, 1_002));
        tables.in(session -> {
            Words.decide(session, source(0), false);
            return null;
        });
        assertEquals(List.of("anna done 1000", "ben confirmed 1001", "carl done 1003", "dora dismissed 1004"), rows());
        assertEquals("known", judge(word("5", "dora", PASSWORD, 1_004, 1_005), 1, 1_005));
    }
}
