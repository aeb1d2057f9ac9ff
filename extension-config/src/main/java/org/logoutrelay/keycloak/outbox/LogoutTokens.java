package org.logoutrelay.keycloak.outbox;

import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

import org.keycloak.common.util.SecretGenerator;
import org.keycloak.common.util.Time;
import org.keycloak.crypto.Algorithm;
import org.keycloak.crypto.KeyUse;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.representations.LogoutToken;
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.client.RelyingParty;
import org.logoutrelay.keycloak.client.TokenEncryption;
import org.logoutrelay.keycloak.client.TokenShape;
import org.logoutrelay.keycloak.ledger.Ledger;
import org.logoutrelay.keycloak.trigger.UpstreamLogout;

import com.fasterxml.jackson.annotation.JsonInclude;

/**
 * Mints logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4), only for sessions in this realm's outbox. Whoever
 * steals the relay can end sessions that were to be ended anyway, and nothing else.
 */
public final class LogoutTokens {
    private static final long LIFE_SECONDS = 120;
    private static final String AUDIENCE_IS_CLIENT = "audience_is_client";
    private static final String NO_ENCRYPTION_KEY = "no_encryption_key";
    private static final Set<String> HMAC = Set.of(Algorithm.HS256, Algorithm.HS384, Algorithm.HS512);

    private final KeycloakSession session;
    private final RealmModel realm;
    private final TokenEncryption encryption;
    private final Map<String, Optional<Event>> events = new HashMap<>();

    /** An outbox row, read once for all of its sessions in a call. */
    private record Event(OutboxRow row, List<ListedSession> sessions, Map<String, String> answers, Set<String> newerLogins) {
    }

    private record Asked(Event event, ListedSession listed) {
    }

    /** Tokens, whom each names, and refusals, by session id. The relay need not read a token, and some it cannot. */
    record Minted(Map<String, String> tokens, Map<String, String> names, Map<String, String> refused) {
    }

    public LogoutTokens(KeycloakSession session, RealmModel realm) {
        this.session = session;
        this.realm = realm;
        this.encryption = new TokenEncryption(session, realm);
    }

    /** @param audience of requests to an identity provider that is told; null for what the realm calls it */
    public Minted mint(List<String> ids, String audience) {
        Minted minted = new Minted(new LinkedHashMap<>(), new LinkedHashMap<>(), new LinkedHashMap<>());
        Map<String, Asked> known = new LinkedHashMap<>();
        for (String id : ids) {
            SessionId parsed = SessionId.parse(id);
            Event event = parsed == null ? null : event(parsed.jti()).orElse(null);
            if (event == null || parsed.n() >= event.sessions().size()) {
                minted.refused().put(id, "unknown");
            } else {
                known.put(id, new Asked(event, event.sessions().get(parsed.n())));
            }
        }
        // Once for all of them: a question for each took a sixth as long as all the signing.
        Map<String, Long> newest = Ledger.newestLogins(session,
                known.values().stream().map(asked -> asked.listed().sid()).toList());
        known.values().stream().map(asked -> client(asked.listed()))
                .filter(client -> client != null && TokenEncryption.isWanted(client)).forEach(encryption::prepare);
        known.forEach((id, asked) -> {
            String refusal = refusal(id, asked.event(), asked.listed(), newest, audience);
            if (refusal != null) {
                minted.refused().put(id, refusal);
                return;
            }
            if (asked.listed().provider() != null) {
                minted.tokens().put(id, Revocation.sign(session, realm, asked.event().row(), asked.listed(), audience));
                return;
            }
            LogoutToken claims = claims(asked.event(), asked.listed());
            ClientModel client = client(asked.listed());
            token(client, asked.listed().encrypted(), algorithm(asked.listed()), claims).ifPresentOrElse(token -> {
                minted.tokens().put(id, token);
                minted.names().put(id, TokenShape.names(claims));
            }, () -> minted.refused().put(id, NO_ENCRYPTION_KEY));
        });
        return minted;
    }

    private Optional<Event> event(String jti) {
        return events.computeIfAbsent(jti, key -> Outbox.find(session, realm.getId(), key)
                // Too early, a relying party would log straight in again by single sign-on.
                .filter(row -> row.listedMs != null)
                .map(row -> new Event(row, ListedSession.read(row.sessions), Answers.of(session, key),
                        new HashSet<>(Ledger.clientsWithNewerLogin(session, realm.getId(), row.event.userId(), row.watermarkMs)))));
    }

    private String refusal(String id, Event event, ListedSession listed, Map<String, Long> newestLogins, String audience) {
        if (event.answers().containsKey(id)) {
            return event.answers().get(id);
        }
        if (listed.latestEnd() < Time.currentTime()) {
            return "expired";
        }
        if (event.row().event.shadow()) {
            return "shadow";
        }
        if (listed.provider() != null) {
            // It would be the realm's signature on a token for that client.
            return realm.getClientByClientId(Revocation.audience(listed.provider(), audience)) != null ? AUDIENCE_IS_CLIENT
                    : unsignable(SecurityEventToken.algorithm(realm));
        }
        if (newestLogins.getOrDefault(listed.key(), 0L) > event.row().watermarkMs) {
            // The person went on under the same session id. The token would end the login made after the event.
            return "sid_in_use";
        }
        if (!TokenShape.of(client(listed)).fits(listed.claims(), subMeansMore(event, listed))) {
            return "sub_in_use";
        }
        return unsignable(algorithm(listed));
    }

    /** As the client's tokens are signed today; of one that is gone, as they were. */
    private String algorithm(ListedSession listed) {
        ClientModel client = client(listed);
        return client == null ? listed.alg() : RelyingParty.algorithm(realm, client);
    }

    /** Why no logout token can be signed with that algorithm, or null. */
    private String unsignable(String alg) {
        if (HMAC.contains(alg)) {
            return "hmac_algorithm";
        }
        boolean key = session.keys().getKeysStream(realm, KeyUse.SIG, alg)
                .anyMatch(k -> k.getStatus() != null && k.getStatus().isActive());
        return key ? null : "no_key";
    }

    /** Tokens for nobody, by shape, or why there are none. */
    record Probe(Map<String, String> tokens, @JsonInclude(JsonInclude.Include.NON_NULL) String refused) {
    }

    /**
     * Genuine tokens that end nothing, in each shape that this client's tokens may have: their {@code sid} and {@code sub} are
     * random and name no session and no user. So it can be seen whether a relying party takes what the realm signs.
     */
    public Probe probe(ClientModel client) {
        String alg = RelyingParty.algorithm(realm, client);
        String unsignable = unsignable(alg);
        if (unsignable != null) {
            return new Probe(Map.of(), unsignable);
        }
        Map<String, String> tokens = new LinkedHashMap<>();
        for (TokenShape shape : TokenShape.of(client).possible()) {
            LogoutToken claims = RelyingParty.claimsOfNobody(client, Issuers.of(session, realm));
            makeFresh(claims);
            shape.shape(claims, false);
            Optional<String> token = token(client, false, alg, claims);
            if (token.isEmpty()) {
                return new Probe(Map.of(), NO_ENCRYPTION_KEY);
            }
            tokens.put(shape.word(), token.get());
        }
        return new Probe(tokens, null);
    }

    private LogoutToken claims(Event event, ListedSession listed) {
        LogoutToken claims = listed.claims();
        makeFresh(claims);
        ClientModel client = client(listed);
        if (client != null) {
            RelyingParty.asOfToday(claims, client);
        }
        nameEvent(claims, event.row().event);
        TokenShape.of(client).shape(claims, subMeansMore(event, listed));
        return claims;
    }

    /**
     * RFC 8417 §2.2, so that what a realm behind this one makes of it can be followed back. Not where the client knows the user
     * by another name: two of those could tell by it that their users are the same one.
     */
    private static void nameEvent(LogoutToken claims, SecurityEvent event) {
        if (event.userId().equals(claims.getSubject())) {
            claims.setOtherClaims(UpstreamLogout.TXN, event.firstTxn());
        }
    }

    private static void makeFresh(LogoutToken claims) {
        claims.id(SecretGenerator.getInstance().generateSecureID());
        claims.issuedNow();
        claims.exp(claims.getIat() + LIFE_SECONDS);
    }

    /**
     * Signed, and encrypted where the client wants that; nothing where it cannot be encrypted.
     *
     * @param client null where it is gone
     * @param wasEncrypted what it wanted at the event: its keys have gone with it
     */
    private Optional<String> token(ClientModel client, boolean wasEncrypted, String alg, LogoutToken claims) {
        if (client == null && wasEncrypted) {
            return Optional.empty();
        }
        String signed = SecurityEventToken.sign(session, realm, alg, TokenShape.typ(client), claims);
        return client != null && TokenEncryption.isWanted(client) ? encryption.encrypt(client, claims.getIssuer(), signed)
                : Optional.of(signed);
    }

    /** Some relying parties end every session of a subject: here those that are not meant, or the new login. */
    private static boolean subMeansMore(Event event, ListedSession listed) {
        String goesOn = event.row().event.goesOn();
        return event.row().event.sid() != null || event.newerLogins().contains(listed.clientUuid())
                // There the person goes on who made the change, with a login that the ledger may not know yet.
                || goesOn != null && goesOn.startsWith(listed.clientUuid() + ' ');
    }

    private ClientModel client(ListedSession listed) {
        return realm.getClientById(listed.clientUuid());
    }
}
