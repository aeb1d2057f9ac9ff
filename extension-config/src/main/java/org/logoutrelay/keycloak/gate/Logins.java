package org.logoutrelay.keycloak.gate;

import java.util.Set;

import org.keycloak.authentication.authenticators.util.AuthenticatorUtils;
import org.keycloak.models.Constants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.UserSessionModel;

/**
 * When the login of a session began, in milliseconds of the database's clock. A session counts by the beginning of its
 * login, not by its end: a login that was half finished with the old password completes after the reset, with a fresh
 * session and a fresh {@code auth_time}.
 */
public final class Logins {
    private static final String BEGAN = "logout-relay.login-began";
    private static final String SPARED = "logout-relay.spared";

    private Logins() {
    }

    static void stamp(UserSessionModel session, Beginning beginning) {
        session.setNote(BEGAN, Long.toString(beginning.ms()));
        if (!beginning.spared().isEmpty()) {
            session.setNote(SPARED, String.join(" ", beginning.spared()));
        }
    }

    /** A session that another one was made from is as old as that one. */
    static void stamp(UserSessionModel session, UserSessionModel source) {
        stamp(session, new Beginning(began(source), spared(source), null));
    }

    /**
     * A session without a note of ours is from before the extension was there, or had expired: Keycloak then starts it over,
     * under its id.
     */
    public static void stampWhereMissing(KeycloakSession session, UserSessionModel found) {
        if (found != null && found.getUser() != null && found.getNote(BEGAN) == null) {
            stamp(found, older(found, Beginning.ofNewSession(session, Gate.of(session), found.getUser(), found.getId())));
        }
    }

    /** Of a session from before the extension was there: Keycloak's own times, whole seconds that stand for their beginning. */
    public static long began(UserSessionModel session) {
        String note = session.getNote(BEGAN);
        return note != null ? Long.parseLong(note)
                : Math.min(session.getStarted() * 1000L, firstProof(session.getNote(Constants.AUTHENTICATORS_COMPLETED)));
    }

    /** The older of what the session's own times say and what is known of the login. */
    private static Beginning older(UserSessionModel session, Beginning login) {
        return new Beginning(login.spared().isEmpty() ? Math.min(began(session), login.ms()) : login.ms(), login.spared(), null);
    }

    public static Set<String> spared(UserSessionModel session) {
        return Beginning.words(session.getNote(SPARED));
    }

    /** When the first of the login's authenticators (password, one-time code...) was satisfied. */
    static long firstProof(String completed) {
        return AuthenticatorUtils.parseCompletedExecutions(completed).values().stream()
                .mapToLong(seconds -> seconds * 1000L).min().orElse(Long.MAX_VALUE);
    }
}
