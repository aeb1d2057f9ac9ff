package org.logoutrelay.keycloak.rotation;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

import org.jboss.logging.Logger;
import org.keycloak.events.Details;
import org.keycloak.events.Errors;
import org.keycloak.events.Event;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ClientSecretConstants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Jpa;

import jakarta.persistence.EntityManager;
import jakarta.persistence.FlushModeType;
import jakarta.persistence.LockModeType;

/**
 * Which secret the clients of open rotations come with. Each node knows by heart which rotations are open, so that a client
 * without one costs a look into a table in memory.
 *
 * <p>That the old secret was used is written in the transaction of its use, since what has to end goes by it. Who came is
 * counted in memory and written twice a second.
 */
public final class RotationWatch {
    /** Keycloak's names of the ways in which a client proves that it has its secret. */
    static final Set<String> METHODS = Set.of("client-secret", "client-secret-jwt");

    private static final Logger LOG = Logger.getLogger(RotationWatch.class);
    private static final int MAX_CALLERS = 100;
    /** So long after the end a node may still have a picture of the client in its cache in which the old secret counts. */
    private static final long AFTER_MS = 5L * 60 * 1000;

    private static final class Tally {
        private long uses;
        private long firstMs = Long.MAX_VALUE;
        private long lastMs;

        private void add(long count, long first, long last) {
            uses += count;
            firstMs = Math.min(firstMs, first);
            lastMs = Math.max(lastMs, last);
        }
    }

    private static final Map<Caller, Tally> CALLERS = new ConcurrentHashMap<>();
    /** Ids of rotations, by Keycloak's id of the client. */
    private static volatile Map<String, String> open = Map.of();
    private static volatile long lookedNanos = System.nanoTime() - TimeUnit.DAYS.toNanos(1);

    private RotationWatch() {
    }

    /** For each event of a realm with the listener. */
    public static void see(KeycloakSession session, AllOrNothing allOrNothing, Event event) {
        boolean proven = event.getDetails() != null && METHODS.contains(String.valueOf(event.getDetails().get(Details.CLIENT_AUTH_METHOD)));
        boolean refused = Errors.INVALID_CLIENT_CREDENTIALS.equals(event.getError());
        if (event.getClientId() == null || !proven && !(refused && !open.isEmpty())) {
            return;
        }
        RealmModel realm = session.realms().getRealm(event.getRealmId());
        ClientModel client = realm == null ? null : realm.getClientByClientId(event.getClientId());
        if (client == null || !isWatched(client)) {
            return;
        }
        if (refused) {
            String rotationId = open.get(client.getId());
            if (rotationId != null) {
                count(session, rotationId, Caller.REFUSED);
            }
            return;
        }
        allOrNothing.run(() -> note(session, client));
    }

    private static boolean isWatched(ClientModel client) {
        return open.containsKey(client.getId()) || client.getAttribute(ClientSecretConstants.CLIENT_ROTATED_SECRET) != null
                || System.nanoTime() - lookedNanos > TimeUnit.MILLISECONDS.toNanos(Rotations.HEARD_MS);
    }

    /** By the database: this node may have a picture of the client in its cache in which the old secret is the only one. */
    private static AllOrNothing.Recording note(KeycloakSession session, ClientModel client) {
        RotationRow row = Rotations.read(session, client.getId());
        if (row == null) {
            return AllOrNothing.Recording.NOTHING;
        }
        boolean isNew = Jpa.em(session).createQuery("select c.secret from ClientEntity c where c.id = :id", String.class)
                .setFlushMode(FlushModeType.COMMIT).setParameter("id", client.getId()).getResultList().stream()
                .anyMatch(stored -> Presented.is(session, stored));
        count(session, row.id, isNew ? Caller.NEW : Caller.OLD);
        long now = DbClock.now(session);
        if (isNew) {
            return row.newSeenMs != null ? AllOrNothing.Recording.NOTHING : () -> seenNew(session, row.id, now);
        }
        // What ends with the old secret ends by whole seconds.
        boolean known = row.retiredMs == null && row.oldLastMs >= now - Math.floorMod(now, 1000L);
        return known ? AllOrNothing.Recording.NOTHING : () -> seenOld(session, client.getId(), now);
    }

    private static String seenNew(KeycloakSession session, String rotationId, long now) {
        Jpa.em(session).createQuery("update RotationRow r set r.newSeenMs = :now where r.id = :id and r.newSeenMs is null")
                .setParameter("now", now).setParameter("id", rotationId).executeUpdate();
        return null;
    }

    private static String seenOld(KeycloakSession session, String clientUuid, long now) {
        int open = Jpa.em(session).createQuery("update RotationRow r set r.oldLastMs = :now where r.clientUuid = :client and r.retiredMs is null")
                .setParameter("now", now).setParameter("client", clientUuid).executeUpdate();
        if (open == 0) {
            throw new AllOrNothing.Refusal("The secret does not count any more");
        }
        return null;
    }

    private static void count(KeycloakSession session, String rotationId, String secret) {
        long now = DbClock.now(session);
        Caller caller = Caller.of(session, rotationId, secret);
        Caller counted = CALLERS.size() < MAX_CALLERS || CALLERS.containsKey(caller) ? caller : caller.amongOthers();
        CALLERS.compute(counted, (key, known) -> {
            Tally tally = known == null ? new Tally() : known;
            tally.add(1, now, now);
            return tally;
        });
    }

    /** Which rotations are open, and what was counted since the last look. Never throws: it runs again within a second. */
    public static void look(KeycloakSessionFactory factory) {
        try {
            long began = System.nanoTime();
            Map<String, String> found = new HashMap<>();
            KeycloakModelUtils.runJobInTransaction(factory, session -> Jpa.em(session).createQuery("select r.clientUuid, r.id from"
                    + " RotationRow r where r.newSeenMs is null or r.retiredMs is null or r.retiredMs > :shortly", Object[].class)
                    .setParameter("shortly", DbClock.now(session) - AFTER_MS).getResultList()
                    .forEach(row -> found.put((String) row[0], (String) row[1])));
            open = found;
            lookedNanos = began;
            write(factory);
        } catch (Throwable t) {
            LOG.warn("The database could not be asked for the rotations of clients' secrets; it is asked again", t);
        }
    }

    private static void write(KeycloakSessionFactory factory) {
        Set<String> rotations = CALLERS.keySet().stream().map(Caller::rotationId).collect(Collectors.toSet());
        rotations.forEach(id -> {
            Map<Caller, Tally> some = new HashMap<>();
            CALLERS.keySet().stream().filter(caller -> caller.rotationId().equals(id)).forEach(caller -> some.put(caller, CALLERS.remove(caller)));
            try {
                KeycloakModelUtils.runJobInTransaction(factory, session -> write(session, id, some));
            } catch (RuntimeException e) {
                some.forEach((caller, tally) -> CALLERS.merge(caller, tally, (left, right) -> {
                    left.add(right.uses, right.firstMs, right.lastMs);
                    return left;
                }));
                throw e;
            }
        });
    }

    /** One node at a time: the rotation's row is locked. Those of a rotation that another one has replaced are dropped. */
    private static void write(KeycloakSession session, String rotationId, Map<Caller, Tally> some) {
        EntityManager em = Jpa.em(session);
        if (em.createQuery("select r from RotationRow r where r.id = :id", RotationRow.class).setParameter("id", rotationId)
                .setLockMode(LockModeType.PESSIMISTIC_WRITE).getResultList().isEmpty()) {
            return;
        }
        long known = em.createQuery("select count(c) from CallerRow c where c.rotationId = :id", Long.class)
                .setParameter("id", rotationId).getSingleResult();
        for (Map.Entry<Caller, Tally> one : some.entrySet()) {
            CallerRow row = em.find(CallerRow.class, one.getKey().id());
            if (row == null && known >= MAX_CALLERS) {
                row = em.find(CallerRow.class, one.getKey().amongOthers().id());
            }
            if (row == null) {
                row = made(known >= MAX_CALLERS ? one.getKey().amongOthers() : one.getKey(), one.getValue());
                em.persist(row);
                known++;
            }
            row.uses += one.getValue().uses;
            row.firstMs = Math.min(row.firstMs, one.getValue().firstMs);
            row.lastMs = Math.max(row.lastMs, one.getValue().lastMs);
        }
    }

    private static CallerRow made(Caller caller, Tally tally) {
        CallerRow row = new CallerRow();
        row.id = caller.id();
        row.rotationId = caller.rotationId();
        row.secret = caller.secret();
        row.address = caller.address();
        row.userAgent = caller.userAgent();
        row.firstMs = tally.firstMs;
        return row;
    }
}
