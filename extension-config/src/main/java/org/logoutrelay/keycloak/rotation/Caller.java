package org.logoutrelay.keycloak.rotation;

import org.keycloak.models.KeycloakSession;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.gate.Requests;

/**
 * Where a request came from that brought a client's secret.
 *
 * @param secret which one: {@link #NEW}, {@link #OLD}, or {@link #REFUSED} for one that does not count
 */
record Caller(String rotationId, String secret, String address, String userAgent) {
    static final String NEW = "new";
    static final String OLD = "old";
    static final String REFUSED = "refused";

    private static final int MAX_TEXT = 255;

    static Caller of(KeycloakSession session, String rotationId, String secret) {
        return new Caller(rotationId, secret, cut(Requests.address(session)), cut(Requests.header(session, "User-Agent")));
    }

    /** Whoever can make more callers than there is room for is counted as one. */
    Caller amongOthers() {
        return new Caller(rotationId, secret, "", "");
    }

    String id() {
        return Ids.hash(String.join("\n", rotationId, secret, address, userAgent));
    }

    /** No half of a character is left at its end, which not every database takes. */
    static String cut(String text) {
        if (text == null) {
            return "";
        }
        int end = Math.min(MAX_TEXT, text.length());
        boolean halves = end < text.length() && Character.isHighSurrogate(text.charAt(end - 1));
        return text.substring(0, halves ? end - 1 : end).replace('\0', '?');
    }
}
