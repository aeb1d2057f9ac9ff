package org.logoutrelay.keycloak.rotation;

import org.keycloak.models.KeycloakSession;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Tallies;
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

    /** What has room of its own: whoever has no secret at all hides nobody who has one. */
    record Room(String rotationId, String secret) {
    }

    static Caller of(KeycloakSession session, String rotationId, String secret) {
        return new Caller(rotationId, secret, Tallies.text(Requests.address(session)),
                Tallies.text(Requests.header(session, "User-Agent")));
    }

    /** Whoever can make more callers than there is room for is counted as one. */
    Caller amongOthers() {
        return new Caller(rotationId, secret, "", "");
    }

    String id() {
        return Ids.hash(String.join("\n", rotationId, secret, address, userAgent));
    }

    Room room() {
        return new Room(rotationId, secret);
    }
}
