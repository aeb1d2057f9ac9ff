package org.logoutrelay.keycloak.gate;

import java.util.Set;

import org.keycloak.events.EventType;
import org.keycloak.jose.jws.JWSInput;
import org.keycloak.jose.jws.JWSInputException;
import org.keycloak.models.KeycloakSession;
import org.keycloak.representations.JsonWebToken;
import org.keycloak.services.managers.AppAuthManager;
import org.keycloak.util.TokenUtil;
import org.logoutrelay.keycloak.base.AllOrNothing;

import jakarta.ws.rs.core.HttpHeaders;

/**
 * Registration of clients, which reads and sets secrets. Keycloak takes an access token there by its signature: before 26.7 it
 * asks for no session, and of a token without one it never asks not-before. So the request is judged once more, as
 * every other one with an access token is.
 */
public final class Registrations {
    private static final Set<EventType> EVENTS = Set.of(EventType.CLIENT_INFO, EventType.CLIENT_REGISTER, EventType.CLIENT_UPDATE,
            EventType.CLIENT_DELETE);

    private Registrations() {
    }

    public static boolean isOne(EventType type) {
        return EVENTS.contains(type);
    }

    /** @throws AllOrNothing.Refusal where the request goes by an access token that is dead */
    public static void judge(KeycloakSession session) {
        String header = session.getContext().getRequestHeaders().getHeaderString(HttpHeaders.AUTHORIZATION);
        if (header != null && isAccessToken(header.substring(header.indexOf(' ') + 1))
                && new AppAuthManager.BearerTokenAuthenticator(session).authenticate() == null) {
            throw new AllOrNothing.Refusal("The access token does not count any more; log in again");
        }
    }

    /** Else it is a token to register clients with, which hangs on no login, or a client's secret. Keycloak has verified it. */
    private static boolean isAccessToken(String token) {
        try {
            return TokenUtil.TOKEN_TYPE_BEARER.equals(new JWSInput(token).readJsonContent(JsonWebToken.class).getType());
        } catch (JWSInputException e) {
            return false;
        }
    }
}
