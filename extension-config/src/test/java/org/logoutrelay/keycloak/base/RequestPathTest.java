package org.logoutrelay.keycloak.base;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class RequestPathTest {
    @Test
    void aPathIsTheSameHoweverItIsSpelled() {
        for (String spelled : new String[] {"users/1/reset-password", "users/1/reset-password/", "users//1/reset-password",
            "/users/1/reset-password", "users/1/reset-password;v=1", "users/%31/reset-password", "users/1/reset%2Dpassword/"}) {
            assertEquals("users/1/reset-password", RequestPath.of(spelled), spelled);
        }
    }

    @Test
    void theTokenEndpointIsTheSameHoweverItIsSpelled() {
        for (String spelled : new String[] {"/realms/main/protocol/openid-connect/token", "/realms/main/protocol/openid-connect/token/",
            "/auth/realms/main/protocol//openid-connect/token", "realms/main/protocol/openid-connect;a=b/token;c=d",
            "/realms/main/protocol/openid-connect/%74oken"}) {
            assertTrue(RequestPath.isTokenEndpoint(RequestPath.of(spelled)), spelled);
        }
        for (String other : new String[] {"/realms/main/protocol/openid-connect/token/introspect",
            "/realms/main/login-actions/authenticate", "/realms/main/broker/realms/x/protocol/openid-connect/token", "/realms/main/account/x;a=/protocol/openid-connect/token"}) {
            assertFalse(RequestPath.isTokenEndpoint(RequestPath.of(other)), other);
        }
    }

    @Test
    void whatIsBelowTheProtocolIsNothingThatOnlyNamesIt() {
        assertTrue(RequestPath.isOfProtocol(RequestPath.of("/auth/realms/main/protocol/openid-connect/auth/")));
        assertFalse(RequestPath.isOfProtocol(RequestPath.of("/realms/main/account/applications/protocol;x=/protocol/openid-connect/")));
        assertFalse(RequestPath.isOfProtocol("realms/main/account/applications/realms/x/protocol/openid-connect/y/consent"));
    }

    @Test
    void peopleLogInByAProtocolALinkOrAnotherProviderAndNowhereElse() {
        for (String login : new String[] {"/realms/main/login-actions/authenticate", "/realms/main/broker/x/endpoint/",
            "/auth/realms/main/protocol/saml/", "/realms/main/protocol/openid-connect/token"}) {
            assertTrue(RequestPath.isOfALogin(RequestPath.of(login)), login);
        }
        for (String other : new String[] {"/realms/main/scim/v2/Users/1", "/admin/realms/main/users/1", "/realms/main/account/",
            "/realms/main/scim/v2/realms/x/broker/y", "/realms/main/logout-relay/containments"}) {
            assertFalse(RequestPath.isOfALogin(RequestPath.of(other)), other);
        }
    }

    @Test
    void anIdKeepsItsOwnSigns() {
        assertEquals("users/f:1:a+b@example.org", RequestPath.of("users/f:1:a+b@example.org/"));
    }

    @Test
    void whatCannotBeDecodedStaysAsItIs() {
        assertEquals("users/%zz", RequestPath.of("users/%zz"));
        assertNull(RequestPath.of(null));
    }
}
