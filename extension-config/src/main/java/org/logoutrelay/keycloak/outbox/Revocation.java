package org.logoutrelay.keycloak.outbox;

import java.util.LinkedHashMap;
import java.util.Map;

import org.keycloak.common.util.SecretGenerator;
import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.logoutrelay.keycloak.client.ListedSession;

/**
 * The JWT by which the realm proves a request of Global Token Revocation (draft-parecki-oauth-global-token-revocation) to be its
 * own. It says of whom it is (RFC 9493 §3.2.2), so that it is worth nothing with another body, and when it happened
 * ({@code toe}, RFC 8417 §2.2), so that one that comes late ends nothing that is newer.
 */
final class Revocation {
    private static final String TYP = "global-token-revocation+jwt";
    private static final long LIFE_SECONDS = 120;

    private Revocation() {
    }

    /** @param audience null for what the realm calls the identity provider */
    static String sign(KeycloakSession session, RealmModel realm, OutboxRow row, ListedSession listed, String audience) {
        return SecurityEventToken.sign(session, realm, SecurityEventToken.algorithm(realm), TYP,
                claims(row.event, row.watermarkMs, listed.provider(), audience, Time.currentTime()));
    }

    static String audience(ListedSession.Provider provider, String given) {
        return given == null ? provider.iss() : given;
    }

    /** @param now seconds */
    static Map<String, Object> claims(SecurityEvent event, long watermarkMs, ListedSession.Provider provider, String audience, long now) {
        Map<String, Object> claims = new LinkedHashMap<>();
        claims.put("iss", event.iss());
        claims.put("aud", audience(provider, audience));
        claims.put("iat", now);
        claims.put("exp", now + LIFE_SECONDS);
        claims.put("jti", SecretGenerator.getInstance().generateSecureID());
        claims.put("txn", event.firstTxn());
        claims.put("toe", Math.floorDiv(watermarkMs, 1000L));
        claims.put("sub_id", Map.of("format", "iss_sub", "iss", provider.iss(), "sub", provider.sub()));
        return claims;
    }
}
