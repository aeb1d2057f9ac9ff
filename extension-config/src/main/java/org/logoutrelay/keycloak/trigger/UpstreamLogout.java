package org.logoutrelay.keycloak.trigger;

import java.util.Optional;

import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.jose.jws.JWSInput;
import org.keycloak.models.KeycloakSession;
import org.keycloak.representations.JsonWebToken;
import org.logoutrelay.keycloak.base.RequestPath;

/**
 * A session that ends because an identity provider has sent Keycloak's broker a logout token (OpenID Connect Back-Channel
 * Logout 1.0). Keycloak has an event for each, the same as where the user signs out, and tells the applications once.
 */
public final class UpstreamLogout {
    /** The claim of a logout token that says what the event is called which ends the session. Ours have it. */
    public static final String TXN = "txn";

    private static final String ENDPOINT = "/protocol/openid-connect/logout/backchannel-logout";
    private static final int MAX_ISS = 2048;
    private static final int MAX_TXN = 255;

    private UpstreamLogout() {
    }

    public static Optional<Trigger.Match> of(KeycloakSession session, Event event) {
        return event.getType() != EventType.LOGOUT || event.getUserId() == null || event.getSessionId() == null || !isAtBroker(session)
                ? Optional.empty() : Optional.of(new Trigger.Match(Trigger.UPSTREAM_LOGOUT, event.getUserId(), event.getSessionId(),
                        null, null, saidBy(session), null));
    }

    private static boolean isAtBroker(KeycloakSession session) {
        try {
            return String.valueOf(RequestPath.of(session.getContext().getUri().getPath())).endsWith(ENDPOINT);
        } catch (RuntimeException e) {
            // In a job of Keycloak's there is no request.
            return false;
        }
    }

    /** Of a token that Keycloak has judged. What cannot be read is left out of the evidence, and ends the session all the same. */
    private static Trigger.Upstream saidBy(KeycloakSession session) {
        try {
            String token = session.getContext().getHttpRequest().getDecodedFormParameters().getFirst("logout_token");
            JsonWebToken claims = new JWSInput(token).readJsonContent(JsonWebToken.class);
            String txn = claims.getOtherClaims().get(TXN) instanceof String named && isKept(named, MAX_TXN) ? named : claims.getId();
            return isKept(claims.getIssuer(), MAX_ISS) && isKept(txn, MAX_TXN) ? new Trigger.Upstream(claims.getIssuer(), txn) : null;
        } catch (Exception e) {
            return null;
        }
    }

    private static boolean isKept(String text, int max) {
        return text != null && !text.isBlank() && text.length() <= max && text.indexOf(0) < 0;
    }
}
