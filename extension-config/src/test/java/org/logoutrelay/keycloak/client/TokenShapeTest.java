package org.logoutrelay.keycloak.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Map;

import org.junit.jupiter.api.Test;
import org.keycloak.models.ClientModel;
import org.keycloak.representations.LogoutToken;

class TokenShapeTest {
    static ClientModel client(Map<String, String> attributes) {
        return (ClientModel) Proxy.newProxyInstance(ClientModel.class.getClassLoader(), new Class<?>[] {ClientModel.class},
                (proxy, method, arguments) -> attributes.get((String) arguments[0]));
    }

    private static TokenShape shape(String word) {
        return TokenShape.of(client(word == null ? Map.of() : Map.of("logout-relay.token.shape", word)));
    }

    private static LogoutToken shaped(TokenShape shape, boolean subMeansMore) {
        LogoutToken claims = new LogoutToken();
        claims.setSid("sid");
        claims.setSubject("sub");
        shape.shape(claims, subMeansMore);
        return claims;
    }

    @Test
    void byDefaultTheSubIsNamedUntilItMeansMore() {
        assertEquals("sub", shaped(shape(null), false).getSubject());
        assertNull(shaped(shape(null), true).getSubject());
        assertEquals("sid", shaped(shape(null), true).getSid());
    }

    @Test
    void aFixedShapeStays() {
        for (boolean subMeansMore : new boolean[] {false, true}) {
            assertEquals("sub", shaped(shape("sid+sub"), subMeansMore).getSubject());
            assertEquals("sid", shaped(shape("sid+sub"), subMeansMore).getSid());
            assertNull(shaped(shape(" sid "), subMeansMore).getSubject());
            assertNull(shaped(shape("sub"), subMeansMore).getSid());
        }
    }

    @Test
    void theSubAloneFitsOnlyWhereItMeansNoMore() {
        LogoutToken claims = shaped(TokenShape.SID_AND_SUB, false);
        assertTrue(shape("sub").fits(claims, false));
        assertFalse(shape("sub").fits(claims, true));
        assertTrue(shape("sid+sub").fits(claims, true));
        // A session opened as somebody else, whose token must name nobody.
        claims.setSubject(null);
        assertFalse(shape("sub").fits(claims, false));
    }

    @Test
    void theSidAloneDoesForWhoAsksForItAndHasNoOtherWishes() {
        Map<String, String> asks = Map.of("backchannel.logout.session.required", "true");
        assertTrue(TokenShape.sidOnly(client(asks)));
        assertTrue(TokenShape.sidOnly(client(Map.of("logout-relay.token.shape", "sid"))));
        assertFalse(TokenShape.sidOnly(client(Map.of())));
        for (String shape : new String[] {"sid+sub", "sub"}) {
            Map<String, String> attributes = new HashMap<>(asks);
            attributes.put("logout-relay.token.shape", shape);
            assertFalse(TokenShape.sidOnly(client(attributes)));
        }
        Map<String, String> typed = new HashMap<>(asks);
        typed.put("logout-relay.token.typ", "JWT");
        assertFalse(TokenShape.sidOnly(client(typed)));
        Map<String, String> encrypted = new HashMap<>(asks);
        encrypted.put("id.token.encrypted.response.alg", "RSA-OAEP");
        assertFalse(TokenShape.sidOnly(client(encrypted)));
        assertFalse(TokenShape.sidOnly(null));
    }

    @Test
    void aTokenIsSaidToNameWhomItNames() {
        assertEquals("sid+sub", TokenShape.names(shaped(shape(null), false)));
        assertEquals("sid", TokenShape.names(shaped(shape(null), true)));
        assertEquals("sub", TokenShape.names(shaped(shape("sub"), false)));
    }

    @Test
    void anUnusableValueIsTheDefault() {
        assertEquals(TokenShape.DEFAULT, shape("both"));
        assertEquals(TokenShape.DEFAULT, TokenShape.of(null));
        assertEquals("logout+jwt", TokenShape.typ(client(Map.of("logout-relay.token.typ", "jwt"))));
        assertEquals("logout+jwt", TokenShape.typ(null));
    }

    @Test
    void theTypIsLogoutTokenOrJwtOrNone() {
        assertEquals("logout+jwt", TokenShape.typ(client(Map.of())));
        assertEquals("JWT", TokenShape.typ(client(Map.of("logout-relay.token.typ", "JWT"))));
        assertNull(TokenShape.typ(client(Map.of("logout-relay.token.typ", "none"))));
    }
}
