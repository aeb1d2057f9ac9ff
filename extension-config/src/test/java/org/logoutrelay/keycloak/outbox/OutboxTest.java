package org.logoutrelay.keycloak.outbox;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.Collections;
import java.util.List;

import org.junit.jupiter.api.Test;
import org.keycloak.representations.LogoutToken;
import org.logoutrelay.keycloak.client.ListedSession;

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
}
