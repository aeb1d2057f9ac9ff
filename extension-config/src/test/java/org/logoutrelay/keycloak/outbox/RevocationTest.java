package org.logoutrelay.keycloak.outbox;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.util.Map;

import org.junit.jupiter.api.Test;
import org.logoutrelay.keycloak.client.ListedSession;

class RevocationTest {
    private static final ListedSession.Provider PROVIDER = new ListedSession.Provider("https://login.example.com", "sub-there");

    private static SecurityEvent event(String upstreamTxn) {
        return new SecurityEvent("own", "realm", "user", "https://idp.example.org/realms/main", "operator", null, null, false, false, null,
                "node", null, null, null, null, upstreamTxn == null ? null : "https://third.example.com", upstreamTxn, null, false);
    }

    private static Map<String, Object> claims(String upstreamTxn, String audience) {
        return Revocation.claims(event(upstreamTxn), 1_790_000_000_999L, PROVIDER, audience, 1_790_000_100);
    }

    @Test
    void aRequestIsOfTheUserThereAndOfWhenItHappenedHere() {
        Map<String, Object> claims = claims(null, "https://relay.example.com/global-token-revocation");
        assertEquals(Map.of("format", "iss_sub", "iss", "https://login.example.com", "sub", "sub-there"), claims.get("sub_id"));
        assertEquals("https://relay.example.com/global-token-revocation", claims.get("aud"));
        assertEquals(1_790_000_000L, claims.get("toe"));
        assertEquals(1_790_000_220L, claims.get("exp"));
        assertEquals("own", claims.get("txn"));
    }

    @Test
    void itIsForTheIdentityProviderWhereNobodySaysForWhom() {
        assertEquals("https://login.example.com", claims(null, null).get("aud"));
    }

    @Test
    void itKeepsTheNameThatTheEventHadFirstAndHasAFreshOneOfItsOwn() {
        assertEquals("first", claims("first", null).get("txn"));
        assertNotEquals(claims("first", null).get("jti"), claims("first", null).get("jti"));
    }
}
