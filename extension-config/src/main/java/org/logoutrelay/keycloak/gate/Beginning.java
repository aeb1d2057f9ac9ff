package org.logoutrelay.keycloak.gate;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.ToLongBiFunction;

import org.keycloak.OAuth2Constants;
import org.keycloak.jose.jws.JWSInput;
import org.keycloak.jose.jws.JWSInputException;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.UserModel;
import org.keycloak.protocol.oidc.grants.ciba.CibaGrantType;
import org.keycloak.protocol.oidc.grants.ciba.channel.CIBAAuthenticationRequest;
import org.keycloak.representations.JsonWebToken;


/**
 * When a login began that is about to get a session: with the oldest proof that it goes by.
 *
 * @param ms by the database's clock where that is known, else by the clock of whoever has signed the proof
 * @param spared the events ({@code txn}) that it goes on after by right
 * @param sid the id that its session gets, or null: any
 */
record Beginning(long ms, Set<String> spared, String sid) {
    /** Older than any watermark. */
    private static final long UNKNOWN = 0;

    /**
     * How old the proof of each grant is that makes a session (RFC 6749 §4 and the grants that Keycloak adds). Those that
     * use a session which is there already (code, device code, refresh) need no line: that session has been judged. A grant
     * that is not named here may go by a proof of any age, and gives no session to a user who has a watermark.
     */
    private static final Map<String, ToLongBiFunction<KeycloakSession, Gate>> PROOFS = Map.of(
            OAuth2Constants.PASSWORD, (session, gate) -> gate.requestMs(),
            OAuth2Constants.CLIENT_CREDENTIALS, (session, gate) -> gate.requestMs(),
            OAuth2Constants.UMA_GRANT_TYPE, (session, gate) -> gate.requestMs(),
            OAuth2Constants.CIBA_GRANT_TYPE, (session, gate) -> approvalAsked(session),
            "urn:ietf:params:oauth:grant-type:jwt-bearer", (session, gate) -> issued(Requests.form(session).getFirst("assertion")),
            OAuth2Constants.TOKEN_EXCHANGE_GRANT_TYPE, Beginning::exchanged);

    /** @param id what Keycloak would name the session by: the browser in which somebody has logged in, or null */
    static Beginning ofNewSession(KeycloakSession session, Gate gate, UserModel user, String id) {
        String grant = Requests.grantType(session);
        if (grant != null) {
            ToLongBiFunction<KeycloakSession, Gate> proof = PROOFS.get(grant);
            long ms = proof == null ? UNKNOWN : proof.applyAsLong(session, gate);
            return new Beginning(Math.min(ms, gate.requestMs()), Set.of(), null);
        }
        return gate.atCommit().tab(id, user.getId()).map(tab -> Tabs.beginning(gate, tab))
                .orElseGet(() -> new Beginning(gate.requestMs(), Set.of(), null));
    }

    static Set<String> words(String text) {
        return text == null || text.isBlank() ? Set.of() : new LinkedHashSet<>(List.of(text.split(" ")));
    }

    /** A token that is exchanged counts from when it was issued, whoever issued it. */
    private static long exchanged(KeycloakSession session, Gate gate) {
        String token = Requests.form(session).getFirst(OAuth2Constants.SUBJECT_TOKEN);
        // An opaque one is taken on the word that its issuer gives now.
        return token != null && token.chars().filter(c -> c == '.').count() == 2 ? issued(token) : gate.requestMs();
    }

    /** {@code iat} (RFC 7519 §4.1.6) of a token that Keycloak has verified; one that does not say is as old as can be. */
    private static long issued(String token) {
        try {
            Long iat = token == null ? null : new JWSInput(token).readJsonContent(JsonWebToken.class).getIat();
            return iat == null ? UNKNOWN : iat * 1000L;
        } catch (JWSInputException e) {
            return UNKNOWN;
        }
    }

    /** When the client asked for the approval (CIBA Core 1.0 §7.3), however long ago the person approved. */
    private static long approvalAsked(KeycloakSession session) {
        try {
            Long asked = CIBAAuthenticationRequest.deserialize(session, Requests.form(session).getFirst(CibaGrantType.AUTH_REQ_ID)).getIat();
            return asked == null ? UNKNOWN : asked * 1000L - Nodes.fastestMs(session);
        } catch (Exception e) {
            return UNKNOWN;
        }
    }
}
