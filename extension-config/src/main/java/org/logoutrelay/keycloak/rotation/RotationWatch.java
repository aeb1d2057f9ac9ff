package org.logoutrelay.keycloak.rotation;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;

import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.events.Details;
import org.keycloak.events.Errors;
import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ClientSecretConstants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.Tallies;

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
    /** So long after the end a node may still have a picture of the client in its cache in which the old secret counts. */
    private static final long AFTER_MS = 5L * 60 * 1000;

    private record Tally(long uses, long firstMs, long lastMs) {
        private Tally and(Tally other) {
            return new Tally(uses + other.uses, Math.min(firstMs, other.firstMs), Math.max(lastMs, other.lastMs));
        }
    }

    private static final Tallies<Caller.Room, Caller, Tally> CALLERS = new Tallies<>(Tally::and, Caller::amongOthers);
    private static volatile Open open = Open.of(List.of());
    private static volatile long lookedNanos = System.nanoTime() - TimeUnit.DAYS.toNanos(1);

    private RotationWatch() {
    }

    /** For each event of a realm with the listener. */
    public static void see(KeycloakSession session, AllOrNothing allOrNothing, Event event) {
        if (Derived.is(event)) {
            seeDerived(session, allOrNothing, event);
        }
        boolean proven = isProven(event);
        boolean refused = Errors.INVALID_CLIENT_CREDENTIALS.equals(event.getError());
        if (event.getClientId() == null || !proven && !(refused && !open.ids().isEmpty())) {
            return;
        }
        ClientModel client = found(allOrNothing, () -> watched(session, event.getRealmId(), realm -> realm.getClientByClientId(event.getClientId())));
        if (client == null) {
            return;
        }
        if (refused) {
            String rotationId = open.ids().get(client.getId());
            if (rotationId != null) {
                count(session, rotationId, Caller.REFUSED);
            }
            return;
        }
        allOrNothing.run(() -> note(session, client, event.getType()));
    }

    private static boolean isProven(Event event) {
        return event.getDetails() != null && METHODS.contains(String.valueOf(event.getDetails().get(Details.CLIENT_AUTH_METHOD)));
    }

    /** Of a client that has brought its own secret that one says all. */
    private static void seeDerived(KeycloakSession session, AllOrNothing allOrNothing, Event event) {
        ClientModel client = found(allOrNothing, () -> watched(session, event.getRealmId(), realm -> {
            UserModel user = event.getUserId() == null ? null : session.users().getUserById(realm, event.getUserId());
            String account = user == null ? null : user.getServiceAccountClientLink();
            return account != null ? realm.getClientById(account)
                    : event.getClientId() == null ? null : realm.getClientByClientId(event.getClientId());
        }));
        if (client != null && !(isProven(event) && client.getClientId().equals(event.getClientId()))) {
            allOrNothing.run(() -> noteDerived(session, client));
        }
    }

    /** Keycloak swallows what a listener throws, and a use of the old secret would be unknown. */
    private static ClientModel found(AllOrNothing allOrNothing, Supplier<ClientModel> search) {
        try {
            return search.get();
        } catch (RuntimeException e) {
            allOrNothing.run(() -> {
                throw e;
            });
            return null;
        }
    }

    private static ClientModel watched(KeycloakSession session, String realmId, Function<RealmModel, ClientModel> search) {
        RealmModel realm = session.realms().getRealm(realmId);
        ClientModel client = realm == null ? null : search.apply(realm);
        return client == null || !isWatched(client) ? null : client;
    }

    private static boolean isWatched(ClientModel client) {
        return open.mayHave(client.getId()) || client.getAttribute(ClientSecretConstants.CLIENT_ROTATED_SECRET) != null
                || System.nanoTime() - lookedNanos > TimeUnit.MILLISECONDS.toNanos(Rotations.HEARD_MS);
    }

    /** By the database: this node may have a picture of the client in its cache in which the old secret is the only one. */
    private static AllOrNothing.Recording note(KeycloakSession session, ClientModel client, EventType type) {
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
        if (type == EventType.CLIENT_INFO) {
            // Keycloak's installation of a client, which has the new secret in it.
            throw new AllOrNothing.Refusal("The old secret does not give the new one");
        }
        return used(session, row, "oldLastMs", row.oldLastMs);
    }

    /** Once the end has come a token that counts was had by the new secret. */
    private static AllOrNothing.Recording noteDerived(KeycloakSession session, ClientModel client) {
        RotationRow row = Rotations.read(session, client.getId());
        if (row == null || (row.retiredMs != null ? Derived.isAfter(session, Rotations.endedMs(row))
                : row.newSeenMs != null && Derived.isOfProofAfter(session, Rotations.provenMs(row)))) {
            return AllOrNothing.Recording.NOTHING;
        }
        count(session, row.id, Caller.OLD);
        return used(session, row, "derivedLastMs", row.derivedLastMs);
    }

    /** What ends with the old secret ends by whole seconds, and a token's are by this node's clock. */
    private static AllOrNothing.Recording used(KeycloakSession session, RotationRow row, String column, long lastMs) {
        long now = Math.max(DbClock.now(session), Time.currentTimeMillis());
        boolean known = row.retiredMs == null && lastMs >= now - Math.floorMod(now, 1000L);
        return known ? AllOrNothing.Recording.NOTHING : () -> seenOld(session, row.clientUuid, column, now);
    }

    private static String seenNew(KeycloakSession session, String rotationId, long now) {
        Jpa.em(session).createQuery("update RotationRow r set r.newSeenMs = :now where r.id = :id and r.newSeenMs is null")
                .setParameter("now", now).setParameter("id", rotationId).executeUpdate();
        return null;
    }

    private static String seenOld(KeycloakSession session, String clientUuid, String column, long now) {
        // Of two uses at once the later one may be written first.
        int open = Jpa.em(session).createQuery(("update RotationRow r set r.%1$s = case when r.%1$s > :now then r.%1$s"
                + " else :now end where r.clientUuid = :client and r.retiredMs is null").formatted(column))
                .setParameter("now", now).setParameter("client", clientUuid).executeUpdate();
        if (open == 0) {
            throw new AllOrNothing.Refusal("The secret does not count any more");
        }
        return null;
    }

    private static void count(KeycloakSession session, String rotationId, String secret) {
        long now = DbClock.now(session);
        Caller caller = Caller.of(session, rotationId, secret);
        CALLERS.count(caller.room(), caller, new Tally(1, now, now));
    }

    /** Which rotations are open, and what was counted since the last look. Never throws: it runs again within a second. */
    public static void look(KeycloakSessionFactory factory) {
        try {
            long began = System.nanoTime();
            open = Open.of(KeycloakModelUtils.runJobInTransactionWithResult(factory, session -> Jpa.em(session).createQuery("select"
                    + " r.clientUuid, r.id from RotationRow r where r.newSeenMs is null or r.retiredMs is null or r.retiredMs > :shortly"
                    + " order by r.begunMs desc", Object[].class).setParameter("shortly", DbClock.now(session) - AFTER_MS)
                    .setMaxResults(Open.MOST + 1).getResultList()));
            lookedNanos = began;
            CALLERS.write((room, some) -> KeycloakModelUtils.runJobInTransaction(factory, session -> write(session, room, some)));
        } catch (Throwable t) {
            LOG.warn("The database could not be asked for the rotations of clients' secrets; it is asked again", t);
        }
    }

    /** One node at a time: the rotation's row is locked. Those of a rotation that another one has replaced are dropped. */
    private static void write(KeycloakSession session, Caller.Room room, Map<Caller, Tally> some) {
        EntityManager em = Jpa.em(session);
        if (!em.createQuery("select r from RotationRow r where r.id = :id", RotationRow.class).setParameter("id", room.rotationId())
                .setLockMode(LockModeType.PESSIMISTIC_WRITE).getResultList().isEmpty()) {
            CALLERS.store(some, new Rows(em, room));
        }
    }

    private static final class Rows implements Tallies.Rows<Caller, Tally> {
        private final EntityManager em;
        private int size;

        Rows(EntityManager em, Caller.Room room) {
            this.em = em;
            this.size = em.createQuery("select count(c) from CallerRow c where c.rotationId = :id and c.secret = :secret", Long.class)
                    .setParameter("id", room.rotationId()).setParameter("secret", room.secret()).getSingleResult().intValue();
        }

        @Override
        public int size() {
            return size;
        }

        @Override
        public boolean add(Caller caller, Tally tally) {
            CallerRow row = em.find(CallerRow.class, caller.id());
            if (row != null) {
                row.uses += tally.uses();
                row.firstMs = Math.min(row.firstMs, tally.firstMs());
                row.lastMs = Math.max(row.lastMs, tally.lastMs());
            }
            return row != null;
        }

        @Override
        public void make(Caller caller, Tally tally) {
            CallerRow row = new CallerRow();
            row.id = caller.id();
            row.rotationId = caller.rotationId();
            row.secret = caller.secret();
            row.address = caller.address();
            row.userAgent = caller.userAgent();
            row.uses = tally.uses();
            row.firstMs = tally.firstMs();
            row.lastMs = tally.lastMs();
            em.persist(row);
            size++;
        }
    }
}
