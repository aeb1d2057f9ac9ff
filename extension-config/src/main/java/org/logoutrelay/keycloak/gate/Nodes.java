package org.logoutrelay.keycloak.gate;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

import org.jboss.logging.Logger;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.cache.CacheRealmProvider;
import org.keycloak.models.cache.UserCache;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Jpa;

/**
 * Each node looks for itself what has happened at the others: Keycloak tells them only after the commit, and not at all where
 * the node has halted or cannot be reached. So the database is asked, and users who were reset go from this node's cache.
 */
public final class Nodes {
    /** This process, for as long as it lives. */
    public static final String ID = UUID.randomUUID().toString();

    private static final Logger LOG = Logger.getLogger(Nodes.class);
    private static final long WINDOW_MS = 60_000;
    private static final int MAX_REMEMBERED = 10_000;
    private static final long BEAT_MS = 10_000;
    private static final long GONE_MS = 60_000;
    private static final long AGREED_MS = 1000;
    /** How exactly a node knows its clock under load. */
    private static final long KNOWN_TO_MS = 100;

    private record Cached(String realmId, String userId) {
    }

    /** When this node has first seen each event, by {@code txn}: close to its commit. */
    private final Map<String, Long> firstSeen = new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Long> eldest) {
            return size() > MAX_REMEMBERED;
        }
    };
    /** Users whom this node may still have in its cache as they were before an event. */
    private final Queue<Cached> cached = new ConcurrentLinkedQueue<>();
    /** One at a time; the next look asks again. */
    private final ExecutorService evictor = new ThreadPoolExecutor(0, 1, 60, TimeUnit.SECONDS, new SynchronousQueue<>(),
            Nodes::daemon, new ThreadPoolExecutor.DiscardPolicy());
    private final KeycloakSessionFactory factory;
    private long nextBeatMs;

    public Nodes(KeycloakSessionFactory factory) {
        this.factory = factory;
    }

    private static Thread daemon(Runnable task) {
        Thread thread = new Thread(task, "logout-relay-evictor");
        thread.setDaemon(true);
        return thread;
    }

    /** Never throws: it runs again within a second. */
    public void look() {
        try {
            long now = KeycloakModelUtils.runJobInTransactionWithResult(factory, DbClock::now);
            if (now > nextBeatMs) {
                KeycloakModelUtils.runJobInTransaction(factory, session -> beat(session, now));
                nextBeatMs = now + BEAT_MS;
            }
            List<WatermarkRow> news = KeycloakModelUtils.runJobInTransactionWithResult(factory,
                    session -> Watermarks.recent(session, now - WINDOW_MS)).stream().filter(row -> firstSeen(row.txn) == null).toList();
            news.forEach(row -> {
                remember(row.txn, now);
                cached.add(new Cached(row.realmId, row.userId));
            });
            evict();
        } catch (Throwable t) {
            // What is thrown here would end the schedule, and this node would hear of no reset any more.
            LOG.warn("The database could not be asked for recent security events; it is asked again", t);
        }
    }

    /** What this node remembers of the user is from before an event. */
    public void evict(String realmId, String userId) {
        cached.add(new Cached(realmId, userId));
        evict();
    }

    private void evict() {
        if (!cached.isEmpty()) {
            evictor.execute(this::evictAll);
        }
    }

    /** Keycloak tells the other nodes too, which may take its time where they are silent. What fails is tried again. */
    private void evictAll() {
        try {
            List<Cached> all = List.copyOf(cached);
            KeycloakModelUtils.runJobInTransaction(factory, session -> all.forEach(one -> evict(session, one)));
            all.forEach(cached::remove);
        } catch (RuntimeException e) {
            LOG.warn("Users who were reset could not be evicted from this node's cache; it is tried again", e);
        }
    }

    public void close() {
        evictor.shutdownNow();
    }

    /** Says that this node is there, and how its wall clock goes. */
    private static void beat(KeycloakSession session, long now) {
        NodeRow row = Jpa.em(session).find(NodeRow.class, ID);
        if (row == null) {
            row = new NodeRow();
            row.id = ID;
            Jpa.em(session).persist(row);
        }
        row.seenMs = now;
        row.aheadMs = DbClock.nodeAheadMs(session);
        Jpa.em(session).createQuery("delete from NodeRow n where n.seenMs < :gone").setParameter("gone", now - GONE_MS)
                .executeUpdate();
    }

    /** Milliseconds by which the slowest clock of a node that is there is behind the database's, negative; 0 where none is. */
    public static long slowestMs(KeycloakSession session) {
        Long ahead = Jpa.em(session).createQuery("select min(n.aheadMs) from NodeRow n where n.seenMs > :there", Long.class)
                .setParameter("there", DbClock.now(session) - GONE_MS).getSingleResult();
        return ahead == null ? 0 : slowest(ahead);
    }

    /**
     * Keycloak's times are whole seconds and a watermark is the end of one: of a node that is behind by just so many seconds
     * a millisecond of error would make a second, in which all that it issues is dead.
     */
    static long slowest(long aheadMs) {
        return Math.min(0, aheadMs - KNOWN_TO_MS);
    }

    /**
     * Milliseconds by which the fastest clock of a node that is there is ahead of the database's: what carries a node's own
     * time may be as much older than it says. 0 where the clocks agree as clocks do.
     */
    static long fastestMs(KeycloakSession session) {
        Long ahead = Jpa.em(session).createQuery("select max(n.aheadMs) from NodeRow n where n.seenMs > :there", Long.class)
                .setParameter("there", DbClock.now(session) - GONE_MS).getSingleResult();
        return ahead == null || ahead < AGREED_MS ? 0 : ahead;
    }

    private synchronized void remember(String txn, long now) {
        firstSeen.putIfAbsent(txn, now);
    }

    /** Milliseconds by the database's clock, or null where this node has not seen the event. */
    public synchronized Long firstSeen(String txn) {
        return firstSeen.get(txn);
    }

    private static void evict(KeycloakSession session, Cached one) {
        RealmModel realm = session.realms().getRealm(one.realmId());
        session.getContext().setRealm(realm);
        UserCache cache = session.getProvider(UserCache.class);
        UserModel user = realm == null || cache == null ? null : session.users().getUserById(realm, one.userId());
        if (user != null) {
            cache.evict(realm, user);
        }
        String uuid = user == null ? one.userId() : user.getServiceAccountClientLink();
        ClientModel client = realm == null || uuid == null ? null : realm.getClientById(uuid);
        CacheRealmProvider clients = session.getProvider(CacheRealmProvider.class);
        if (client != null && clients != null) {
            clients.registerClientInvalidation(client.getId(), client.getClientId(), realm.getId());
        }
    }
}
