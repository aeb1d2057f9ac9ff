package org.logoutrelay.keycloak.outbox;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.keycloak.crypto.Algorithm;
import org.keycloak.crypto.KeyUse;
import org.keycloak.crypto.KeyWrapper;
import org.keycloak.crypto.SignatureProvider;
import org.keycloak.jose.jws.JWSBuilder;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.logoutrelay.keycloak.base.Json;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.client.RelyingParty;
import org.logoutrelay.keycloak.client.TokenShape;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;

/** An outbox row as a Security Event Token (RFC 8417) with a CAEP event, in the form that SSF 1.0 asks for. */
public final class SecurityEventToken {
    /** Keycloak's names for what CAEP 1.0 §3.2 has a name for; others are told as Keycloak calls them. */
    private static final Map<String, String> CREDENTIAL_TYPES = Map.of("otp", "app", "webauthn", "fido2-roaming",
            "webauthn-passwordless", "fido2-platform");

    private SecurityEventToken() {
    }

    /** @throws IllegalStateException when the realm is gone or has no key to sign with */
    public static String sign(KeycloakSession session, OutboxRow row, String audience) {
        RealmModel realm = session.realms().getRealm(row.event.realmId());
        if (realm == null) {
            throw new IllegalStateException("The realm of outbox row " + row.jti + " is gone");
        }
        session.getContext().setRealm(realm);
        return sign(session, realm, algorithm(realm), "secevent+jwt",
                claims(realm, row, audience, Policy.of(session, realm).clients()));
    }

    /** What is for no client is signed as the realm signs by default. */
    static String algorithm(RealmModel realm) {
        String alg = realm.getDefaultSignatureAlgorithm();
        return alg == null || alg.isBlank() ? Algorithm.RS256 : alg;
    }

    /** Signs with the realm's active key for the algorithm. The key is named, since the context may have no client. */
    static String sign(KeycloakSession session, RealmModel realm, String alg, String typ, Object claims) {
        KeyWrapper key = session.keys().getActiveKey(realm, KeyUse.SIG, alg);
        return new JWSBuilder().type(typ).jsonContent(claims)
                .sign(session.getProvider(SignatureProvider.class, alg).signer(key));
    }

    private static Map<String, Object> claims(RealmModel realm, OutboxRow row, String audience, Set<String> operators) {
        Trigger trigger = Trigger.byId(row.event.triggerId());
        List<ListedSession> sessions = ListedSession.read(row.sessions);
        List<Map<String, Object>> listed = new ArrayList<>(sessions.size());
        for (int n = 0; n < sessions.size(); n++) {
            ListedSession session = sessions.get(n);
            ClientModel client = realm.getClientById(session.clientUuid());
            listed.add(session.toSetMember(row.jti, n, client == null ? session.clientId() : client.getClientId(),
                    client == null ? session.alg() : RelyingParty.algorithm(realm, client),
                    TokenShape.sidOnly(client) && session.goesByItsId(),
                    client != null && RelyingParty.hasTokensOnly(client, operators)));
        }
        Map<String, Object> containment = new LinkedHashMap<>();
        containment.put("trigger", trigger.id());
        containment.put("watermark_ms", row.watermarkMs);
        containment.put("scope", row.event.sid() == null ? "subject" : "session");
        String goesOn = row.event.goesOn();
        if (goesOn != null) {
            containment.put("kept_sid", goesOn.substring(goesOn.indexOf(' ') + 1));
        }
        if (row.event.privileged()) {
            containment.put("privileged", true);
        }
        if (row.event.shadow()) {
            containment.put("shadow", true);
        }
        if (row.steps != null) {
            containment.put("steps", Json.object(row.steps));
        }
        if (row.survivors > 0) {
            containment.put("survivors", row.survivors);
        }
        if (row.event.askedBy() != null) {
            containment.put("asked", Map.of("by", row.event.askedBy(), "client_id", row.event.askedClient(), "reason",
                    row.event.askedReason()));
        }
        if (row.event.upstreamIss() != null) {
            containment.put("upstream", Map.of("iss", row.event.upstreamIss(), "txn", row.event.upstreamTxn()));
        }
        if (row.event.client() != null) {
            Map<String, Object> client = new LinkedHashMap<>(Map.of("client_id", row.event.client(), "all_tokens", row.event.clientTokens()));
            if (row.clientUsed != null) {
                client.put("used", Json.object(row.clientUsed));
            }
            containment.put("client", client);
        }
        if (row.sparedOffline != null) {
            containment.put("spared_offline", Json.texts(row.sparedOffline));
        }
        if (row.identityProviders != null) {
            containment.put("identity_providers", Json.texts(row.identityProviders));
        }
        if (row.watched != null) {
            containment.put("watched", Json.object(row.watched));
        }
        if (row.refusedAfter != null) {
            containment.put("refused_after", Json.list(row.refusedAfter));
        }
        containment.put("removed_at_ms", row.listedMs);
        containment.put("part", row.part);
        containment.put("parts", row.parts);
        containment.put("sessions", listed);

        long at = Math.floorDiv(row.watermarkMs, 1000L);
        Map<String, Object> event = new LinkedHashMap<>(trigger.type().members());
        if (row.event.detail() != null) {
            event.put("credential_type", CREDENTIAL_TYPES.getOrDefault(row.event.detail(), row.event.detail()));
        }
        event.put("event_timestamp", at);
        event.put("initiating_entity", trigger.initiatingEntity());
        event.put("reason_admin", Map.of("en", trigger.reason()));
        event.put("logout-relay", containment);

        Map<String, Object> claims = new LinkedHashMap<>();
        claims.put("iss", row.event.iss());
        claims.put("aud", audience);
        claims.put("iat", at);
        claims.put("jti", row.jti);
        claims.put("txn", row.event.txn());
        claims.put("sub_id", Map.of("format", "iss_sub", "iss", row.event.iss(), "sub", row.event.userId()));
        claims.put("events", Map.of(trigger.type().uri(), event));
        return claims;
    }
}
