package org.logoutrelay.keycloak.ledger;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

import org.junit.jupiter.api.Test;
import org.keycloak.representations.LogoutToken;
import org.keycloak.util.JsonSerialization;
import org.keycloak.util.TokenUtil;

class LedgerTest {
    /** As Keycloak makes it at each login. */
    private static LogoutToken claims(String sub, String sid) {
        LogoutToken claims = new LogoutToken();
        claims.id("jti-of-" + sid);
        claims.issuedNow();
        claims.exp(claims.getIat() + sid.length());
        claims.issuer("https://idp.example.org/realms/main");
        claims.addAudience("orders");
        claims.setSubject(sub);
        claims.setSid(sid);
        claims.getOtherClaims().put("tenant", "north");
        claims.putEvents(TokenUtil.TOKEN_BACKCHANNEL_LOGOUT_EVENT, JsonSerialization.createObjectNode());
        return claims;
    }

    private static LedgerRow row(String userId, String sub, String sid) {
        LedgerRow row = new LedgerRow();
        row.userId = userId;
        row.sub = sub;
        row.sid = sid;
        return row;
    }

    private static TemplateRow template(Consumer<TemplateRow> change) {
        TemplateRow template = new TemplateRow();
        template.realmId = "realm";
        template.clientUuid = "client";
        template.alg = "RS256";
        template.claims = "{}";
        change.accept(template);
        return template;
    }

    @Test
    void twoLoginsAtOneClientHaveAllInCommonButWhoAndWhich() {
        assertEquals(Ledger.shared(claims("alice", "sid-1")), Ledger.shared(claims("bob", "sid-of-bob")));
    }

    @Test
    void theClaimsOfALoginComeBackFromWhatItSharesAndItsRow() {
        TemplateRow template = template(t -> t.claims = Ledger.shared(claims("alice", "sid-1")));
        LogoutToken back = Ledger.claims(row("alice", null, "sid-2"), template);
        assertEquals(List.of("alice", "sid-2", "https://idp.example.org/realms/main", "orders"),
                List.of(back.getSubject(), back.getSid(), back.getIssuer(), back.getAudience()[0]));
        assertTrue(back.getEvents().containsKey(TokenUtil.TOKEN_BACKCHANNEL_LOGOUT_EVENT));
        assertEquals(Map.of("tenant", "north"), back.getOtherClaims());
        assertNull(back.getId());
        assertNull(back.getIat());
        assertNull(back.getExp());
        assertEquals("alice@example.org", Ledger.claims(row("alice", "alice@example.org", "sid-2"), template).getSubject());
        LedgerRow mapped = row("alice", null, "sid-2");
        mapped.givenSid = "sid-of-the-mapper";
        assertEquals("sid-of-the-mapper", Ledger.claims(mapped, template).getSid());
    }

    @Test
    void whateverDiffersMakesAnotherTemplate() {
        Set<String> hashes = new HashSet<>();
        List<Consumer<TemplateRow>> all = List.of(t -> { }, t -> t.realmId = "other", t -> t.clientUuid = "other",
                t -> t.offline = true, t -> t.alg = "ES256", t -> t.encrypted = true,
                t -> t.logoutUri = "https://a.example.org", t -> t.logoutUri = "", t -> t.claims = "{\"aud\":\"x\"}", t -> t.impersonator = "https://a.example.org");
        all.forEach(change -> hashes.add(Templates.hash(template(change))));
        assertEquals(all.size(), hashes.size());
        assertEquals(Templates.hash(template(t -> t.usedMs = 1)), Templates.hash(template(t -> t.usedMs = 2)));
        assertNotEquals(Templates.hash(template(t -> t.realmId = "a\",\"b")), Templates.hash(template(t -> t.clientUuid = "b\",\"a")));
    }
}
