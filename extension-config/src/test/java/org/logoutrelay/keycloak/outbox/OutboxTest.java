package org.logoutrelay.keycloak.outbox;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.junit.jupiter.api.Test;
import org.keycloak.representations.LogoutToken;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.ledger.Tables;

class OutboxTest {
    private static final ListedSession SESSION = new ListedSession("uuid", "sid-1", "ES256", null, true, false, 100, 200, false,
            new LogoutToken());

    @Test
    void fiveHundredSessionsAreOnePartAndOneMoreIsTwo() {
        assertEquals(1, Outbox.parts(List.of()).size());
        assertEquals(1, Outbox.parts(Collections.nCopies(500, SESSION)).size());
        assertEquals(List.of(500, 1), Outbox.parts(Collections.nCopies(501, SESSION)).stream().map(List::size).toList());
    }

    @Test
    void aSessionIdIsOfItsFormOrNone() {
        assertEquals(new SessionId("6f0e1c1e-0000-4000-8000-000000000000", 7), SessionId.parse("6f0e1c1e-0000-4000-8000-000000000000.7"));
        assertNull(SessionId.parse("6f0e1c1e-0000-4000-8000-000000000000.7000"));
        assertNull(SessionId.parse("' or 1=1 --"));
        assertNull(SessionId.parse(null));
    }

    private static OutboxRow told() {
        OutboxRow row = new OutboxRow(new SecurityEvent("txn", "realm", "user", "https://idp.example.org/realms/main", "operator", null,
                null, true, false, null, "node", null, "somebody", "console", "lost phone", "https://login.example.com", "their-txn", null, false), 1000);
        row.listedMs = 2000L;
        row.steps(Map.of("consents", 2));
        row.identityProviders(List.of("google"));
        row.spare(Set.of("backup"));
        row.survivors(1);
        row.watched(Map.of("logins", 1));
        row.refusedAfter(List.of(Map.of("count", 1)));
        return row;
    }

    @Test
    void aFurtherPartSaysOfItsEventWhatTheFirstSays() {
        OutboxRow first = told();
        OutboxRow part = first.nextPart();
        assertEquals(first.event, part.event);
        assertEquals(List.of(first.watermarkMs, first.listedMs, first.nextLookMs, first.steps, first.identityProviders,
                first.sparedOffline), List.of(part.watermarkMs, part.listedMs, part.nextLookMs, part.steps, part.identityProviders,
                        part.sparedOffline));
    }

    @Test
    void aSupplementRepeatsNothingThatHasBeenTold() {
        OutboxRow supplement = told().supplement();
        assertEquals("txn", supplement.event.txn());
        assertEquals("[\"backup\"]", supplement.sparedOffline);
        assertEquals(Arrays.asList(null, null, null, null, null, 0), Arrays.asList(supplement.steps, supplement.identityProviders,
                supplement.watched, supplement.refusedAfter, supplement.nextLookMs, supplement.survivors));
    }

    @Test
    void anEventIsLookedAtAgainUnlessItEndsNothingOrOneSessionAlone() {
        assertEquals(6000L, told().nextLookMs);
        SecurityEvent of = told().event;
        assertNull(new OutboxRow(new SecurityEvent("txn", "realm", "user", of.iss(), "operator", "sid", null, false, false, null,
                "node", null, null, null, null, null, null, null, false), 1000).nextLookMs);
        assertNull(new OutboxRow(new SecurityEvent("txn", "realm", "user", of.iss(), "operator", null, null, false, true, null,
                "node", null, null, null, null, null, null, null, false), 1000).nextLookMs);
    }

    /** A node that knows no identity providers in its rows would have that URL sent a logout token. */
    @Test
    void anIdentityProviderThatIsToldIsOpenAndHasNoLogoutUrl() {
        ListedSession provider = ListedSession.at("idp", new ListedSession.Provider("https://login.example.com", "sub"), "txn",
                "https://idp.example.org/realms/main", "RS256", 2_000_000_000L);
        assertNull(provider.logoutUri());
        OutboxRow row = new OutboxRow(told().event, 1000);
        new Tables(Set.of()).in(session -> {
            Outbox.append(session, row, List.of(provider));
            return null;
        });
        assertEquals(1, row.openSessions);
    }
}
