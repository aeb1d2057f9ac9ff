package org.logoutrelay.keycloak.settle;

import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.KeycloakSessionTaskWithResult;
import org.keycloak.models.RealmModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.containment.ClientContainment;
import org.logoutrelay.keycloak.containment.Listing;
import org.logoutrelay.keycloak.containment.RealmLogout;
import org.logoutrelay.keycloak.containment.Remains;
import org.logoutrelay.keycloak.containment.Watch;
import org.logoutrelay.keycloak.gate.Nodes;
import org.logoutrelay.keycloak.gate.Refusals;
import org.logoutrelay.keycloak.gate.SessionStore;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.outbox.OutboxRow;
import org.logoutrelay.keycloak.outbox.SecurityEventToken;
import org.logoutrelay.keycloak.rotation.RotationWatch;
import org.logoutrelay.keycloak.rotation.Rotations;
import org.logoutrelay.keycloak.upstream.Upstreams;
import org.logoutrelay.keycloak.workload.Workloads;

/**
 * What follows the commit, never on the user's request: list whom to tell, push the SET once, and remove what is dead. From
 * the commit on the {@code Gate} stands, so nobody is told too early. What is lost here by a crash or a full queue is found
 * again from the outbox, by {@link #settleLeftOvers} and by the relay's poll.
 */
public final class AfterCommit implements AllOrNothing.Committed {
    private static final Logger LOG = Logger.getLogger(AfterCommit.class);

    /** Looking again this often finds a session whose removal was slow; a removal that never works is for the sweep. */
    private static final int LOOKS = 5;

    /** Sessions removed in one transaction: short enough that no login waits for it. */
    private static final int REMOVALS = 20;

    private static final long NODE_LOOK_MS = 500;

    private static final long WORKLOADS_MS = 5_000;

    private static final int SWEEP_BATCH = 100;

    private static final long FAILED_LOOK_MS = 60_000;

    private final KeycloakSessionFactory factory;
    private final Settings settings;
    private final Push push;
    private final Nodes nodes;
    private final ThreadPoolExecutor pool;
    /** Of its own: nobody must be able to hold up the telling by having many sessions to remove. */
    private final ThreadPoolExecutor cleaner;
    private final Beats beats = new Beats();
    private final Pruner pruner;

    public AfterCommit(KeycloakSessionFactory factory, Settings settings) {
        this.factory = factory;
        this.settings = settings;
        this.push = settings.pushUrl() == null ? null : new Push(settings.pushUrl(), settings.pushTimeout());
        this.nodes = new Nodes(factory);
        this.pool = pool(4, 10_000, "logout-relay-");
        this.cleaner = pool(1, 100_000, "logout-relay-cleaner-");
        this.pruner = new Pruner(factory);
    }

    private static ThreadPoolExecutor pool(int threads, int queue, String name) {
        AtomicInteger n = new AtomicInteger();
        ThreadPoolExecutor pool = new ThreadPoolExecutor(threads, threads, 60, TimeUnit.SECONDS, new ArrayBlockingQueue<>(queue),
                task -> daemon(task, name + n.incrementAndGet()));
        pool.allowCoreThreadTimeOut(true);
        return pool;
    }

    static Thread daemon(Runnable task, String name) {
        Thread thread = new Thread(task, name);
        thread.setDaemon(true);
        return thread;
    }

    /** From now on this node hears of what happens at the others. */
    public void start() {
        beats.start("logout-relay-nodes", NODE_LOOK_MS, nodes::look);
        beats.start("logout-relay-rotations", NODE_LOOK_MS, () -> RotationWatch.look(factory));
        beats.start("logout-relay-workloads", WORKLOADS_MS, () -> Workloads.write(factory));
        pool.execute(this::settleLeftOvers);
        pruner.start();
    }

    @Override
    public void submit(String txn, long committedMs) {
        try {
            pool.execute(() -> listAndPush(txn, committedMs));
        } catch (RejectedExecutionException e) {
            LOG.warnf("Too many security events at once; %s waits for the next sweep and the relay's poll", txn);
        }
    }

    private void listAndPush(String txn, Long committedMs) {
        try {
            list(txn, committedMs);
            if (push != null) {
                inTransaction(session -> Outbox.unacknowledged(session, txn)).forEach(this::push);
            }
            cleaner.execute(() -> cleanUp(txn));
        } catch (RejectedExecutionException e) {
            LOG.debugf("Keycloak is being stopped; the next start cleans up after security event %s", txn);
        } catch (RuntimeException e) {
            LOG.errorf(e, "Security event %s stays in the outbox; the next sweep and the relay's poll take it up", txn);
        }
    }

    /** The same where nobody here knows when the commit was over: for a poll. */
    public void list(String txn) {
        list(txn, null);
    }

    /** The same for what another node has left behind. An event that cannot be listed holds up no other. */
    private void listAtLast(String txn) {
        try {
            list(txn, null);
        } catch (RuntimeException e) {
            LOG.errorf(e, "Nobody could be listed who has to be told of security event %s; the next sweep tries again", txn);
        }
    }

    /**
     * Lists whom to tell, once. The old password may have been used until the commit, so what began before the commit is
     * dead, too: the watermark is raised where the commit came in a later second.
     */
    private void list(String txn, Long committedMs) {
        inTransaction(session -> {
            OutboxRow event = Outbox.lockFirstOf(session, txn).orElse(null);
            RealmModel realm = event == null ? null : session.realms().getRealm(event.event().realmId());
            if (event == null || event.isListed()) {
                return null;
            }
            if (realm == null) {
                Outbox.list(session, event, List.of());
                return null;
            }
            session.getContext().setRealm(realm);
            if (!event.event().shadow() && event.event().looksFromMs() == null) {
                Long seen = committedMs == null ? nodes.firstSeen(txn) : committedMs;
                long reached = DbClock.endOfSecond(seen == null ? DbClock.now(session) : seen);
                Watermarks.raise(session, txn, reached);
                event.raiseTo(reached);
                ClientContainment.raise(session, realm, event);
            }
            nodes.evict(event.event().realmId(), event.event().userId());
            Remains.endOthersInSpared(session, realm, event);
            Listing.list(session, realm, event);
            return null;
        });
    }

    /**
     * Removes what is dead from Keycloak's store, a few at a time: nothing waits for it, since the gate refuses what is
     * there. Goes on until a look finds nothing. Never throws.
     */
    void cleanUp(String txn) {
        try {
            for (int look = 0; look < LOOKS; look++) {
                List<SessionStore.Dead> dead = inTransaction(session -> remains(session, txn));
                LOG.debugf("Security event %s, look %d: %d dead sessions stored", txn, look + 1, dead.size());
                if (dead.isEmpty()) {
                    inTransaction(session -> {
                        Outbox.removed(session, txn);
                        return null;
                    });
                    return;
                }
                remove(txn, dead);
            }
            LOG.warnf("Dead sessions from before security event %s are still stored after %d removals; the next sweep goes on",
                    txn, LOOKS);
        } catch (RuntimeException e) {
            LOG.errorf(e, "Dead sessions from before security event %s could not be removed; the next sweep goes on", txn);
        }
    }

    private static List<SessionStore.Dead> remains(KeycloakSession session, String txn) {
        OutboxRow event = Outbox.firstOf(session, txn).orElse(null);
        RealmModel realm = event == null ? null : session.realms().getRealm(event.event().realmId());
        if (realm == null) {
            return List.of();
        }
        session.getContext().setRealm(realm);
        return Remains.of(session, realm, event);
    }

    private void remove(String txn, List<SessionStore.Dead> dead) {
        for (int from = 0; from < dead.size(); from += REMOVALS) {
            List<SessionStore.Dead> some = dead.subList(from, Math.min(from + REMOVALS, dead.size()));
            inTransaction(session -> {
                Outbox.firstOf(session, txn).ifPresent(event -> some.forEach(
                        one -> SessionStore.remove(session, one, event.watermarkMs(), event.spared())));
                return null;
            });
        }
    }

    /** Never throws. A look that fails is made again, after those that are due meanwhile. */
    private void lookAgain(String txn) {
        try {
            lookOnceMore(txn);
        } catch (RuntimeException e) {
            LOG.errorf(e, "The later look for sessions from before security event %s failed; it is made again", txn);
            inTransaction(session -> {
                Outbox.putOffLook(session, txn, FAILED_LOOK_MS);
                return null;
            });
        }
    }

    /**
     * Looks once more after the time in which a login that was under way at the event can have been stored, and what a
     * cache has brought back. What is found then is removed, and reported as what it is.
     */
    private void lookOnceMore(String txn) {
        List<SessionStore.Dead> dead = inTransaction(session -> remains(session, txn));
        if (!dead.isEmpty()) {
            LOG.warnf("%d dead sessions from before security event %s were found stored, and are removed", dead.size(), txn);
            remove(txn, dead);
        }
        boolean found = inTransaction(session -> {
            OutboxRow first = Outbox.lockFirstOf(session, txn).orElse(null);
            if (first == null || !first.isDueForALook()) {
                // Another node was quicker.
                return false;
            }
            RealmModel realm = session.realms().getRealm(first.event().realmId());
            if (realm != null) {
                session.getContext().setRealm(realm);
                Listing.listWhatWasMissed(session, realm, first, first.isCleanedUp() ? dead.size() : 0);
            }
            Outbox.looked(session, first);
            return !Outbox.unacknowledged(session, txn).isEmpty();
        });
        if (found) {
            listAndPush(txn, null);
        }
    }

    private void push(String jti) {
        String set = inTransaction(session -> Outbox.find(session, jti)
                .map(row -> SecurityEventToken.sign(session, row, settings.audience())).orElse(null));
        // Outside any transaction: a slow receiver must not hold one.
        if (set != null && push.send(jti, set)) {
            inTransaction(session -> Outbox.acknowledge(session, jti));
        }
    }

    public boolean pushes() {
        return push != null;
    }

    public String audience() {
        return settings.audience();
    }

    /** What was left behind: by a crash after the commit, by a node that has halted, by a removal that failed. */
    public void settleLeftOvers() {
        sweep(() -> inTransaction(session -> DbClock.measure(factory)));
        sweep(() -> inTransaction(session -> Outbox.unlisted(session, SWEEP_BATCH)).forEach(this::listAtLast));
        sweep(() -> inTransaction(session -> Outbox.uncleaned(session, SWEEP_BATCH))
                .forEach(txn -> cleaner.execute(() -> cleanUp(txn))));
        sweep(() -> inTransaction(session -> Outbox.dueForALook(session, SWEEP_BATCH)).forEach(this::lookAgain));
        sweep(() -> RealmLogout.goOn(factory, this));
        sweep(() -> Upstreams.goOn(factory, this));
        sweep(() -> RotatedSecrets.takeAway(factory, SWEEP_BATCH));
        sweep(() -> Rotations.forget(factory));
        sweep(() -> inTransaction(session -> Watch.untold(session, SWEEP_BATCH)).stream()
                .filter(txn -> inTransaction(session -> Watch.tell(session, txn))).forEach(txn -> listAndPush(txn, null)));
        sweep(() -> Refusals.due(Time.currentTimeMillis()).forEach(due -> {
            String txn = RefusedAfter.tell(factory, due);
            if (txn != null) {
                listAndPush(txn, null);
            }
        }));
    }

    /** Whatever is thrown on Keycloak's timer ends all that is scheduled there, Keycloak's own tasks too. */
    private static void sweep(Runnable part) {
        try {
            part.run();
        } catch (Throwable t) {
            LOG.error("A part of the sweep for sessions left alive failed; it runs again", t);
        }
    }

    public void close() {
        pruner.close();
        nodes.close();
        beats.close();
        cleaner.shutdownNow();
        pool.shutdownNow();
    }

    private <T> T inTransaction(KeycloakSessionTaskWithResult<T> task) {
        return KeycloakModelUtils.runJobInTransactionWithResult(factory, task);
    }
}
