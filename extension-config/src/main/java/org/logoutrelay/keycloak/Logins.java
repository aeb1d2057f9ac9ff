package org.logoutrelay.keycloak;

import org.keycloak.models.UserSessionModel;
import org.keycloak.sessions.AuthenticationSessionModel;

/**
 * When logins began. A session counts by the beginning of its login, not by its end: a login that was half finished with
 * the old password completes after the reset, with a fresh session and a fresh {@code auth_time}.
 */
final class Logins {
    private static final String NOTE = "logout-relay.login-began";

    private Logins() {
    }

    /** Seconds, or null where the request has no login page behind it (a direct grant). */
    static Long began(AuthenticationSessionModel login) {
        return login == null || login.getParentSession() == null ? null : (long) login.getParentSession().getTimestamp();
    }

    /** Keeps the beginning with the session. The first stays: a later login in the same session does not make it newer. */
    static void stamp(UserSessionModel session, Long began) {
        if (began != null && session.getNote(NOTE) == null) {
            session.setNote(NOTE, Long.toString(began));
        }
    }

    /** Seconds. */
    static long began(UserSessionModel session) {
        String note = session.getNote(NOTE);
        return note == null ? session.getStarted() : Math.min(Long.parseLong(note), session.getStarted());
    }

    /**
     * Whether a login that began in this second is from before the watermark. Login times are whole seconds: one begun in
     * the watermark's own second counts as old.
     */
    static boolean isOld(long beganSeconds, long watermarkMs) {
        return beganSeconds <= Math.floorDiv(watermarkMs, 1000L);
    }
}
