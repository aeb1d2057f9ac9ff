package org.logoutrelay.keycloak.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;

import org.junit.jupiter.api.Test;
import org.keycloak.representations.LogoutToken;
import org.keycloak.util.JsonSerialization;
import org.keycloak.util.TokenUtil;

class SessionsTest {
    private static ListedSession session(String logoutUri) {
        LogoutToken claims = new LogoutToken();
        claims.issuer("https://idp.example.org/realms/main");
        claims.addAudience("orders");
        claims.setSubject("pairwise-sub");
        claims.setSid("sid-1");
        claims.putEvents(TokenUtil.TOKEN_BACKCHANNEL_LOGOUT_EVENT, JsonSerialization.createObjectNode());
        return new ListedSession("uuid", "sid-1", "ES256", logoutUri, true, false, 100, 200, false, claims);
    }

    @Test
    void aSessionComesBackFromItsRowAsItWasWritten() {
        ListedSession back = ListedSession.read(ListedSession.write(List.of(session("https://orders.example.org/logout")))).get(0);
        assertEquals("orders", back.clientId());
        assertEquals("pairwise-sub", back.claims().getSubject());
        assertEquals("sid-1", back.claims().getSid());
        assertTrue(back.claims().getEvents().containsKey(TokenUtil.TOKEN_BACKCHANNEL_LOGOUT_EVENT));
        assertEquals("ES256", back.alg());
    }

    @Test
    void aClientThatWasGivenAnotherSidDoesNotGoByKeycloaks() {
        ListedSession listed = session(null);
        assertTrue(listed.goesByItsId());
        listed.claims().setSid("of a mapper");
        assertFalse(listed.goesByItsId());
    }

    @Test
    void aSetShowsNoClaimsButWhoIsMeant() {
        Map<String, Object> member = session(null).toSetMember("jti", 3, "orders", "ES256", false, false);
        assertEquals("jti.3", member.get("id"));
        assertEquals("pairwise-sub", member.get("sub"));
        assertFalse(member.containsKey("backchannel_logout_uri"));
        assertFalse(member.containsKey("claims"));
    }

    @Test
    void aSetSaysOfAClientThatCannotBeToldWhetherItHasTokensOnly() {
        String url = "https://orders.example.org/logout";
        assertEquals(true, session(null).toSetMember("jti", 3, "orders", "ES256", false, true).get("tokens_only"));
        assertFalse(session(null).toSetMember("jti", 3, "orders", "ES256", false, false).containsKey("tokens_only"));
        assertFalse(session(url).toSetMember("jti", 3, "orders", "ES256", false, true).containsKey("tokens_only"));
    }

    @Test
    void aSetSaysOfAnIdentityProviderThatItIsToldAndNotWhatTheUserIsCalledThere() {
        ListedSession told = ListedSession.at("id", new ListedSession.Provider("https://login.example.com", "sub-there"), "txn",
                "https://idp.example.org/realms/main", "RS256", 200);
        ListedSession back = ListedSession.read(ListedSession.write(List.of(told))).get(0);
        assertEquals(told.provider(), back.provider());
        assertEquals(Map.of("id", "jti.3", "kind", "global-token-revocation", "client_id", "identity provider https://login.example.com",
                "sid", "txn", "latest_end", 200L), back.toSetMember("jti", 3, back.clientId(), "RS256", false, false));
    }

    @Test
    void aSessionIsWrittenAsOlderNodesReadIt() {
        assertFalse(ListedSession.write(List.of(session(null))).contains("provider"));
    }

    @Test
    void anUnusableMaximumLifeIsTheDefault() {
        assertEquals(2_592_000, RelyingParty.maxLife(null));
        assertEquals(2_592_000, RelyingParty.maxLife("a month"));
        assertEquals(2_592_000, RelyingParty.maxLife("-1"));
        assertEquals(60, RelyingParty.maxLife(" 60 "));
    }
}
