package org.logoutrelay.keycloak;

import org.keycloak.authentication.authenticators.util.AuthenticatorUtils;
import org.keycloak.jose.jws.JWSInput;
import org.keycloak.jose.jws.JWSInputException;
import org.keycloak.models.Constants;
import org.keycloak.models.DefaultActionTokenKey;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.representations.JsonWebToken;
import org.keycloak.sessions.AuthenticationSessionModel;

/**
 * When logins began, in milliseconds. A session counts by the beginning of its login, not by its end: a login that was
 * half finished with the old password completes after the reset, with a fresh session and a fresh {@code auth_time}.
 *
 * <p>Keycloak's times are whole seconds and stand for the beginning of their second, so a login begun in the watermark's
 * own second counts as old. A login that is spared has the millisecond after its watermark.
 */
final class Logins {
    private static final String BEGAN = "logout-relay.login-began";
    private static final String SPARED = "logout-relay.spared";

    private Logins() {
    }

    /** Whether a login that began then is from before the watermark. */
    static boolean isOld(long beganMs, long watermarkMs) {
        return beganMs <= watermarkMs;
    }

    /** Keeps the beginning with a session that has just been logged in to. The first stays. */
    static void stamp(UserSessionModel session, AuthenticationSessionModel login, Long sparedUpTo) {
        if (session.getNote(BEGAN) == null) {
            stamp(session, sparedUpTo != null ? sparedUpTo + 1 : began(session, login));
        }
    }

    /** The same for a login of which Keycloak's session says nothing. */
    static void stamp(UserSessionModel session, long beganMs) {
        session.setNote(BEGAN, Long.toString(beganMs));
    }

    static long began(UserSessionModel session) {
        String note = session.getNote(BEGAN);
        return note == null ? session.getStarted() * 1000L : Long.parseLong(note);
    }

    /** The login goes on as if it had begun after that watermark. In this browser tab only: the note is the tab's. */
    static void spare(AuthenticationSessionModel login, long watermarkMs) {
        login.setAuthNote(SPARED, Long.toString(watermarkMs));
    }

    static long began(AuthenticationSessionModel login) {
        String spared = login.getAuthNote(SPARED);
        if (spared != null) {
            return Long.parseLong(spared) + 1;
        }
        // What has been proven stays where it was. The time of the authentication session would not do: every page that is
        // shown again and every tab that is opened makes it younger, and where other tabs are left Keycloak sets it half an
        // hour back at the end of a login, so that they expire. It counts where nothing was proven here: at a broker's.
        long proof = firstProof(login.getUserSessionNotes().get(Constants.AUTHENTICATORS_COMPLETED));
        long began = proof == Long.MAX_VALUE ? login.getParentSession().getTimestamp() * 1000L : proof;
        return Math.min(began, linkIssued(login));
    }

    /** The session's own note is taken, too: after "sign out from other devices" the context has another login. */
    private static long began(UserSessionModel session, AuthenticationSessionModel login) {
        long began = login == null || login.getParentSession() == null ? session.getStarted() * 1000L : began(login);
        boolean spared = login != null && login.getAuthNote(SPARED) != null;
        return spared ? began
                : Math.min(began, Math.min(session.getStarted() * 1000L,
                        firstProof(session.getNote(Constants.AUTHENTICATORS_COMPLETED))));
    }

    /** When the first of the login's authenticators (password, one-time code...) was satisfied. */
    static long firstProof(String completed) {
        return AuthenticatorUtils.parseCompletedExecutions(completed).values().stream()
                .mapToLong(seconds -> seconds * 1000L).min().orElse(Long.MAX_VALUE);
    }

    /**
     * Whether a login that is not over yet is from before its user's watermark. By single sign-on it may be in a session that
     * went on after it: all other tabs of that session's browser were closed then.
     */
    static boolean isOld(KeycloakSession session, RealmModel realm, AuthenticationSessionModel login, String userId) {
        long watermarkMs = Ledger.watermark(session, realm, userId);
        if (!isOld(began(login), watermarkMs)) {
            return false;
        }
        UserSessionModel joined = session.sessions().getUserSession(realm, login.getParentSession().getId());
        return joined == null || !joined.getUser().getId().equals(userId) || isOld(began(joined), watermarkMs);
    }

    /** Whether this login came by a mailed link that is older than its user's watermark. */
    static boolean isByOldLink(KeycloakSession session, RealmModel realm, AuthenticationSessionModel login) {
        String user = login == null ? null : login.getAuthNote(DefaultActionTokenKey.ACTION_TOKEN_USER_ID);
        return user != null && isOld(began(login), Ledger.watermark(session, realm, user));
    }

    /**
     * When the link was issued that this login came by, if it came by one (reset password, required actions). A link of
     * the watermark's own second counts as new: administrators' programs reset and send the link in one go.
     */
    private static long linkIssued(AuthenticationSessionModel login) {
        String token = login.getAuthNote(Constants.KEY);
        if (token == null) {
            return Long.MAX_VALUE;
        }
        try {
            return linkIssued(new JWSInput(token).readJsonContent(JsonWebToken.class));
        } catch (JWSInputException e) {
            return 0;
        }
    }

    static long linkIssued(JsonWebToken token) {
        return token.getIat() == null ? 0 : token.getIat() * 1000L + 999;
    }
}
