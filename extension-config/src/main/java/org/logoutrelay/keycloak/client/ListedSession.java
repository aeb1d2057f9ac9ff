package org.logoutrelay.keycloak.client;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.keycloak.representations.LogoutToken;
import org.logoutrelay.keycloak.base.Json;

import com.fasterxml.jackson.annotation.JsonInclude;

/**
 * A session as an outbox row lists it: everything a logout token needs, so that a client, a user or a host name that
 * changes afterwards does no harm.
 *
 * @param clientUuid the client's internal id
 * @param sid the session's id
 * @param alg the JWS algorithm the client wants
 * @param logoutUri the client's logout URL at the time, or null
 * @param offline whether this is Keycloak's offline session of that id
 * @param loginBegan seconds
 * @param latestEnd seconds
 * @param encrypted whether the client wanted its tokens encrypted at the time
 * @param claims unsigned claims of a logout token: {@code iss}, {@code aud}, {@code sub}, {@code sid}, {@code events}
 */
public record ListedSession(String clientUuid, String sid, String alg, String logoutUri, boolean sessionRequired,
        boolean offline, long loginBegan, long latestEnd,
        // An older node knows no such member.
        @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean encrypted, LogoutToken claims) {

    /** Which relying party's session this is. Online and offline sessions of one id are one session there. */
    public String key() {
        return key(clientUuid, sid);
    }

    public static String key(String clientUuid, String sid) {
        return clientUuid + ' ' + sid;
    }

    /** Whether the client knows the session by Keycloak's id of it, which is all that the relay has. */
    public boolean goesByItsId() {
        return sid.equals(claims.getSid());
    }

    public String clientId() {
        return claims.getAudience()[0];
    }

    /**
     * The session as a SET shows it, with the client's id and algorithm of today: both may have changed since the login.
     *
     * @param n its place in the row
     * @param sidOnly {@link TokenShape#sidOnly}
     * @param tokensOnly {@link RelyingParty#hasTokensOnly}
     */
    public Map<String, Object> toSetMember(String jti, int n, String clientId, String alg, boolean sidOnly, boolean tokensOnly) {
        Map<String, Object> member = new LinkedHashMap<>();
        member.put("id", id(jti, n));
        member.put("client_id", clientId);
        member.put("sid", sid);
        if (claims.getSubject() != null) {
            member.put("sub", claims.getSubject());
        }
        member.put("iss", claims.getIssuer());
        member.put("alg", alg);
        if (logoutUri != null) {
            member.put("backchannel_logout_uri", logoutUri);
        }
        member.put("backchannel_logout_session_required", sessionRequired);
        if (sidOnly) {
            member.put("sid_only", true);
        }
        if (tokensOnly && logoutUri == null) {
            member.put("tokens_only", true);
        }
        member.put("offline", offline);
        member.put("login_began", loginBegan);
        member.put("latest_end", latestEnd);
        return member;
    }

    static String id(String jti, int n) {
        return jti + '.' + n;
    }

    public static String write(List<ListedSession> sessions) {
        return Json.write(sessions);
    }

    public static List<ListedSession> read(String json) {
        return Arrays.asList(Json.read(json, ListedSession[].class));
    }
}
