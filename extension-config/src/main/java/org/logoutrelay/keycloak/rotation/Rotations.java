package org.logoutrelay.keycloak.rotation;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

import org.keycloak.common.Profile;
import org.keycloak.common.util.Time;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ClientSecretConstants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.client.AccessTokens;
import org.logoutrelay.keycloak.gate.ClientProof;
import org.logoutrelay.keycloak.gate.Requests;
import org.logoutrelay.keycloak.trigger.WrittenClients.SecretChange;

import jakarta.persistence.EntityManager;
import jakarta.persistence.FlushModeType;
import jakarta.persistence.LockModeType;

/**
 * A client's new secret, from the moment in which it is made until the client has come with it and no old one counts. One
 * row for each client, written with the change whatever door it came through.
 *
 * <p>{@code logout-relay rotate} makes and withdraws secrets by Keycloak's Admin API, and says in a header what it means by
 * it. What it does not mean is refused here, in the transaction of the change: so two rotations at once, or a realm that
 * keeps no old secret, take no secret from a workload.
 */
public final class Rotations {
    /** {@link #BEGIN}, or the id of the rotation whose old secret is to be withdrawn. */
    private static final String HEADER = "Logout-Relay-Rotation";
    private static final String BEGIN = "begin";
    /** Longer than a node may go without having looked at which rotations are open, see {@link RotationWatch}. */
    static final long HEARD_MS = 5_000;
    private static final long LONGEST_REQUEST_MS = 5L * 60 * 1000;
    private static final long KEPT_MS = 90L * 24 * 60 * 60 * 1000;
    private static final int MAX_SHOWN = 400;

    private Rotations() {
    }

    /**
     * What a change of a client's secret comes to.
     *
     * @param reachesMs up to when what the client had was had by the old secret; null for up to now
     */
    public record Judged(Long reachesMs, AllOrNothing.Recording recording) {
    }

    /** Before the commit. Throws to refuse the change where it is not what the caller means. */
    public static Judged judge(KeycloakSession session, SecretChange change) {
        String asked = Requests.header(session, HEADER);
        if (asked != null && !change.alone()) {
            // What other keys have got ends up to now, and not up to the last use of the old secret.
            throw new AllOrNothing.Refusal("Nothing was changed: a rotation changes a client's secret and nothing else that it proves itself by");
        }
        // Whoever comes with the old secret in this moment is either seen here, or waits and finds it withdrawn.
        RotationRow row = Jpa.em(session).find(RotationRow.class, change.uuid(), LockModeType.PESSIMISTIC_WRITE);
        long now = DbClock.measure(session.getKeycloakSessionFactory());
        // What another request has begun while this one was under way does not show in what this one has changed.
        boolean met = row != null && row.retiredMs == null && row.begunMs > now - LONGEST_REQUEST_MS;
        if (BEGIN.equals(asked) && (!change.anew() || change.retires() || met)) {
            throw new AllOrNothing.Refusal("The new secret was not made: an old one would have ended with it");
        }
        boolean isEnd = asked != null && !BEGIN.equals(asked);
        if (isEnd && (change.anew() || row == null || !row.id.equals(asked) || row.newSeenMs == null || row.retiredMs != null)) {
            throw new AllOrNothing.Refusal("The old secret was not withdrawn: another rotation has begun, or nobody has come with the new one");
        }
        return new Judged(isEnd ? reaches(row, now) : null, () -> write(session, change, row, now));
    }

    /**
     * Of a rotation that was seen through, what was had since the last use of the old secret was had by the new one. A node
     * that had not heard of the rotation recorded no use of the old one, until a little after the new one was seen.
     */
    private static Long reaches(RotationRow row, long now) {
        long reaches = reaches(row);
        return reaches < now ? reaches : null;
    }

    private static long reaches(RotationRow row) {
        return Math.max(provenMs(row), DbClock.endOfSecond(row.derivedLastMs));
    }

    /** Up to when the client may have proven itself by the old secret. */
    static long provenMs(RotationRow row) {
        return DbClock.endOfSecond(Math.max(row.oldLastMs, row.newSeenMs + HEARD_MS));
    }

    /** Up to when nothing counts of a rotation that is at its end. */
    static long endedMs(RotationRow row) {
        long retired = DbClock.endOfSecond(row.retiredMs);
        return row.newSeenMs == null ? retired : Math.min(retired, reaches(row));
    }

    private static String write(KeycloakSession session, SecretChange change, RotationRow known, long now) {
        if (change.anew()) {
            RotationRow row = known == null ? new RotationRow() : known;
            if (known != null) {
                Jpa.em(session).createQuery("delete from CallerRow c where c.rotationId = :id").setParameter("id", row.id).executeUpdate();
            }
            row.clientUuid = change.uuid();
            row.id = Ids.next();
            row.begunMs = now;
            row.newSeenMs = null;
            row.oldLastMs = 0;
            row.derivedLastMs = 0;
            row.retiredMs = change.keepsOld() ? null : now;
            if (known == null) {
                Jpa.em(session).persist(row);
            }
        } else if (known != null && known.retiredMs == null && !change.keepsOld()) {
            known.retiredMs = now;
        }
        return null;
    }

    /** As the database has it, whatever this request has read before. Null where none is known. */
    static RotationRow read(KeycloakSession session, String clientUuid) {
        return Jpa.em(session).createQuery("select r from RotationRow r where r.clientUuid = :client", RotationRow.class)
                .setFlushMode(FlushModeType.COMMIT).setParameter("client", clientUuid).getResultStream().findFirst().orElse(null);
    }

    /** For whoever rotates it. Nothing of a secret is in it. */
    public static Map<String, Object> report(KeycloakSession session, ClientModel client) {
        return report(session, client, true);
    }

    /** The same without those who have come. */
    public static Map<String, Object> state(KeycloakSession session, ClientModel client) {
        return report(session, client, false);
    }

    private static Map<String, Object> report(KeycloakSession session, ClientModel client, boolean callers) {
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("client_id", client.getClientId());
        report.put("id", client.getId());
        report.put("has_secret", hasSecret(client));
        report.put("token_lifespan_s", AccessTokens.lifespan(client, DbClock.now(session)));
        report.put("now_ms", DbClock.now(session));
        long until = oldValidUntil(client);
        if (until > Time.currentTime()) {
            report.put("old_valid_until_ms", until * 1000);
        }
        RotationRow row = read(session, client.getId());
        if (row != null) {
            Map<String, Object> rotation = represent(row);
            if (callers) {
                rotation.put("callers", callers(session, row));
            }
            report.put("rotation", rotation);
        }
        return report;
    }

    /** Seconds since the epoch; 0 where there is no old secret beside the one of now. */
    private static long oldValidUntil(ClientModel client) {
        String old = client.getAttribute(ClientSecretConstants.CLIENT_ROTATED_SECRET);
        String until = client.getAttribute(ClientSecretConstants.CLIENT_ROTATED_SECRET_EXPIRATION_TIME);
        return Profile.isFeatureEnabled(Profile.Feature.CLIENT_SECRET_ROTATION) && old != null && !old.isBlank() && until != null
                && until.matches("\\d{1,12}") ? Long.parseLong(until) : 0;
    }

    /**
     * Whether a secret is the one of now, whatever the node that has shown it has heard. By the database; a node that has
     * another one in its cache reads the client anew.
     */
    public static boolean isCurrent(KeycloakSession session, RealmModel realm, ClientModel client, String secret) {
        String stored = Jpa.em(session).createQuery("select c.secret from ClientEntity c where c.id = :id", String.class)
                .setParameter("id", client.getId()).getResultStream().findFirst().orElse(null);
        if (!Objects.equals(stored, client.getSecret())) {
            ClientProof.readAnew(session, realm, client);
        }
        return stored != null && MessageDigest.isEqual(stored.getBytes(StandardCharsets.UTF_8), secret.getBytes(StandardCharsets.UTF_8));
    }

    private static boolean hasSecret(ClientModel client) {
        String by = client.getClientAuthenticatorType();
        return !client.isPublicClient() && !client.isBearerOnly() && client.getSecret() != null
                && (by == null || RotationWatch.METHODS.contains(by));
    }

    private static Map<String, Object> represent(RotationRow row) {
        Map<String, Object> rotation = new LinkedHashMap<>(Map.of("id", row.id, "begun_ms", row.begunMs));
        if (row.newSeenMs != null) {
            rotation.put("new_seen_ms", row.newSeenMs);
            rotation.put("reaches_ms", reaches(row));
        }
        if (row.oldLastMs > 0) {
            rotation.put("old_last_ms", row.oldLastMs);
        }
        if (row.retiredMs != null) {
            rotation.put("retired_ms", row.retiredMs);
        }
        return rotation;
    }

    private static List<Map<String, Object>> callers(KeycloakSession session, RotationRow row) {
        return Jpa.em(session).createQuery("select c from CallerRow c where c.rotationId = :id order by c.lastMs desc", CallerRow.class)
                .setParameter("id", row.id).setMaxResults(MAX_SHOWN).getResultStream().map(Rotations::represent).toList();
    }

    private static Map<String, Object> represent(CallerRow row) {
        return Map.of("secret", row.secret, "address", row.address, "user_agent", row.userAgent, "uses", row.uses, "first_ms",
                row.firstMs, "last_ms", row.lastMs);
    }

    /** What nobody asks for any more. */
    public static void forget(KeycloakSessionFactory factory) {
        KeycloakModelUtils.runJobInTransaction(factory, session -> {
            EntityManager em = Jpa.em(session);
            List<RotationRow> gone = em.createQuery("select r from RotationRow r where r.retiredMs < :old"
                    + " or not exists (select c.id from ClientEntity c where c.id = r.clientUuid)", RotationRow.class)
                    .setParameter("old", DbClock.now(session) - KEPT_MS).setMaxResults(100).getResultList();
            gone.forEach(row -> {
                em.createQuery("delete from CallerRow c where c.rotationId = :id").setParameter("id", row.id).executeUpdate();
                em.remove(row);
            });
        });
    }
}
