package org.logoutrelay.keycloak.gate;

import java.util.List;
import java.util.Optional;

import org.keycloak.authentication.actiontoken.DefaultActionToken;
import org.keycloak.authentication.actiontoken.execactions.ExecuteActionsActionToken;
import org.keycloak.jose.jws.JWSInput;
import org.keycloak.jose.jws.JWSInputException;
import org.keycloak.models.Constants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.representations.JsonWebToken;
import org.keycloak.services.ErrorPageException;
import org.keycloak.services.messages.Messages;

import jakarta.ws.rs.core.Response;

/**
 * Action tokens, of whatever kind, that come with a request: a link from before its user's watermark is refused when it is
 * opened. Later would be too late: Keycloak may show a page to confirm, whose button leads on by a token of that moment.
 *
 * <p>The token is only read here and not verified: what is refused need not be genuine, and what passes Keycloak verifies.
 */
final class MailedLink {
    private static final String JUDGED = MailedLink.class.getName();

    /** The query parameters that Keycloak takes action tokens from. */
    private static final List<String> PARAMETERS = List.of(Constants.KEY, "token");

    private MailedLink() {
    }

    static void refuseOld(KeycloakSession session, Gate gate, RealmModel realm) {
        if (session.getAttribute(JUDGED) != null) {
            return;
        }
        session.setAttribute(JUDGED, true);
        for (String parameter : PARAMETERS) {
            String text = Requests.query(session, parameter);
            Optional<JsonWebToken> token = text == null ? Optional.empty() : read(text);
            Optional<WatermarkRow> killer = token.filter(link -> link.getSubject() != null)
                    .flatMap(link -> gate.linkDeadBy(realm, link.getSubject(), issuedMs(link) - Nodes.fastestMs(session)));
            if (killer.isPresent()) {
                Refusals.count(session, realm, token.get().getSubject(), "link", killer.get());
                throw new ErrorPageException(session, Response.Status.BAD_REQUEST, Messages.EXPIRED_ACTION);
            }
        }
    }

    private static Optional<JsonWebToken> read(String text) {
        try {
            return Optional.of(new JWSInput(text).readJsonContent(JsonWebToken.class));
        } catch (JWSInputException e) {
            return Optional.empty();
        }
    }

    /**
     * Milliseconds. Whole seconds, so a link of the watermark's own second counts as old, but for what an administrator
     * sends: programs reset a password and send the link in one go, and no user can have such a link sent. What Keycloak
     * issues anew, each time such a link is opened, names the tab that it is for.
     */
    static long issuedMs(JsonWebToken token) {
        long iat = token.getIat() == null ? 0 : token.getIat() * 1000L;
        boolean sent = ExecuteActionsActionToken.TOKEN_TYPE.equals(token.getType())
                && token.getOtherClaims().get(DefaultActionToken.JSON_FIELD_AUTHENTICATION_SESSION_ID) == null;
        return sent ? iat + 1000 : iat;
    }
}
