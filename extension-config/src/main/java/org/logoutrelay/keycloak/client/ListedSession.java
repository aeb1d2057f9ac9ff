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
 * @param provider whom to tell in place of a client: an identity provider that the user is linked to; else null
 */
public record ListedSession(String clientUuid, String sid, String alg, String logoutUri, boolean sessionRequired,
        boolean offline, long loginBegan, long latestEnd,
        // An older node knows no such member.
        @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean encrypted, LogoutToken claims,
        @JsonInclude(JsonInclude.Include.NON_NULL) Provider provider) {
    /** What the relay knows the way by which an identity provider is told. */
    private static final String REVOCATION = "global-token-revocation";
    /** In place of a client id, before the issuer: whatever shows who was told says what it is. */
    private static final String PROVIDER = "identity provider ";

    /**
     * An identity provider, and the user there.
     *
     * @param iss as the realm has it
     * @param sub as in the link
     */
    public record Provider(String iss, String sub) {
    }

    public ListedSession(String clientUuid, String sid, String alg, String logoutUri, boolean sessionRequired, boolean offline,
            long loginBegan, long latestEnd, boolean encrypted, LogoutToken claims) {
        this(clientUuid, sid, alg, logoutUri, sessionRequired, offline, loginBegan, latestEnd, encrypted, claims, null);
    }

    /**
     * An identity provider that is told of an event.
     *
     * @param id the realm's own of it
     * @param txn the event's, in place of a session: each is told by itself
     */
    public static ListedSession at(String id, Provider provider, String txn, String issuer, String alg, long latestEnd) {
        LogoutToken claims = new LogoutToken();
        claims.issuer(issuer);
        claims.audience(PROVIDER + provider.iss());
        return new ListedSession(id, txn, alg, null, false, false, 0, latestEnd, false, claims, provider);
    }

    /** Which relying party's session this is. Online and offline sessions of one id are one session there. */
    public String key() {
        return key(clientUuid, sid);
    }

    public static String key(String clientUuid, String sid) {
        return clientUuid + ' ' + sid;
    }

    /** Whether anybody is to answer for it. */
    public boolean awaitsAnswer() {
        return provider != null || logoutUri != null;
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
        if (provider != null) {
            member.put("kind", REVOCATION);
        }
        member.put("client_id", clientId);
        member.put("sid", sid);
        if (provider != null) {
            // What the user is called there is for the request alone.
            member.put("latest_end", latestEnd);
            return member;
        }
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
