package org.logoutrelay.keycloak;

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
import org.keycloak.models.UserModel;
import org.keycloak.models.utils.KeycloakModelUtils;

/**
 * What follows the commit, never on the user's request: see that the old sessions are really gone, then push the SET once.
 * What is lost here by a crash or a full queue is found again from the outbox, by {@link #settleLeftOvers} and by the
 * relay's poll.
 */
final class AfterCommit {
    private static final Logger LOG = Logger.getLogger(AfterCommit.class);

    /** Looking again this often finds a session whose removal was slow; a removal that never works is for the sweep. */
    private static final int LOOKS = 5;

    private static final int SWEEP_BATCH = 100;

    private static final long FAILED_LOOK_MS = 60_000;

    /** Of {@link Ledger#PRUNE_BATCH} rows each in one pruning: fourteen million rows a day. */
    private static final int PRUNE_BATCHES = 200;

    private final KeycloakSessionFactory factory;
    private final Settings settings;
    private final Push push;
    private final ThreadPoolExecutor pool;

    AfterCommit(KeycloakSessionFactory factory, Settings settings) {
        this.factory = factory;
        this.settings = settings;
        this.push = settings.pushUrl() == null ? null : new Push(settings.pushUrl(), settings.pushTimeout());
        AtomicInteger n = new AtomicInteger();
        this.pool = new ThreadPoolExecutor(4, 4, 60, TimeUnit.SECONDS, new ArrayBlockingQueue<>(10_000), task -> {
            Thread thread = new Thread(task, "logout-relay-" + n.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        });
        this.pool.allowCoreThreadTimeOut(true);
    }

    /** Never throws and never waits: it is called on the request's thread, after the commit. */
    void submit(String txn) {
        try {
            pool.execute(() -> settleAndPush(txn));
        } catch (RejectedExecutionException e) {
            LOG.warnf("Too many security events at once; %s waits for the next sweep and the relay's poll", txn);
        }
    }

    private void settleAndPush(String txn) {
        try {
            if (settle(txn) && push != null) {
                inTransaction(session -> Outbox.unacknowledged(session, txn)).forEach(this::push);
            }
        } catch (RuntimeException e) {
            LOG.errorf(e, "Security event %s stays in the outbox; the next sweep and the relay's poll take it up", txn);
        }
    }

    /**
     * Looks until no session of the subject from before the watermark is left, asking Keycloak again each time. Never
     * throws: an event that cannot be looked at, such as one of a directory that is down, must not hold up those behind it.
     *
     * @return whether that has been seen
     */
    boolean settle(String txn) {
        try {
            for (int look = 0; look < LOOKS; look++) {
                int left = inTransaction(session -> lookAndEnd(session, txn));
                LOG.debugf("Security event %s, look %d: %d old sessions left", txn, look + 1, left);
                if (left == 0) {
                    return true;
                }
            }
        } catch (RuntimeException e) {
            LOG.errorf(e, "Sessions from before security event %s could not be looked for; the next sweep tries again", txn);
            return false;
        }
        LOG.errorf("Sessions from before security event %s are still alive after %d removals; the next sweep tries again",
                txn, LOOKS);
        return false;
    }

    private static int lookAndEnd(KeycloakSession session, String txn) {
        List<OutboxRow> rows = Outbox.unsettled(session, txn);
        if (rows.isEmpty()) {
            return 0;
        }
        OutboxRow first = rows.get(0);
        RealmModel realm = session.realms().getRealm(first.realmId);
        if (realm != null) {
            session.getContext().setRealm(realm);
            int left = first.shadow ? 0 : endWhatIsLeft(session, realm, first);
            if (left > 0) {
                return left;
            }
            Containment.listWhatWasMissed(session, realm, first, 0);
        }
        Outbox.settled(session, txn);
        return 0;
    }

    private static int endWhatIsLeft(KeycloakSession session, RealmModel realm, OutboxRow event) {
        if (event.sid != null) {
            return Containment.endOne(session, realm, event.sid, event.watermarkMs);
        }
        UserModel user = session.users().getUserById(realm, event.userId);
        return Containment.endOpenedAsOthers(session, event.userId, event.watermarkMs)
                + (user == null ? 0 : Containment.endOldSessions(session, realm, user, event.watermarkMs, Spared.of(event)));
    }

    /** Never throws. A look that fails is made again, after those that are due meanwhile. */
    private void lookAgain(String txn) {
        try {
            lookOnceMore(txn);
        } catch (RuntimeException e) {
            LOG.errorf(e, "The later look for sessions from before security event %s failed; it is made again", txn);
            inTransaction(session -> {
                Outbox.due(session, txn).forEach(row -> row.nextLookMs = Time.currentTimeMillis() + FAILED_LOOK_MS);
                return null;
            });
        }
    }

    /**
     * Looks once more after the time in which a login that was under way at the event can have been stored. What is found
     * then is ended, and reported as what it is.
     */
    private void lookOnceMore(String txn) {
        boolean found = inTransaction(session -> {
            List<OutboxRow> rows = Outbox.due(session, txn);
            OutboxRow first = rows.isEmpty() ? null : rows.get(0);
            RealmModel realm = first == null ? null : session.realms().getRealm(first.realmId);
            int ended = 0;
            if (realm != null) {
                session.getContext().setRealm(realm);
                ended = endWhatIsLeft(session, realm, first);
                if (ended > 0) {
                    LOG.warnf("%d sessions from before security event %s were found alive, and ended", ended, txn);
                }
                Containment.listWhatWasMissed(session, realm, first, ended);
            }
            Long next = first == null ? null : Outbox.nextLook(first.looksFromMs(), Time.currentTimeMillis());
            rows.forEach(row -> row.nextLookMs = next);
            return !Outbox.unsettled(session, txn).isEmpty();
        });
        if (found) {
            settleAndPush(txn);
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

    void sweepSoon() {
        pool.execute(this::settleLeftOvers);
    }

    boolean pushes() {
        return push != null;
    }

    String audience() {
        return settings.audience();
    }

    /** Rows whose removal was never seen: a crash between the commit and the removal, or a removal that failed. */
    void settleLeftOvers() {
        sweep(() -> inTransaction(session -> Outbox.leftUnsettled(session, SWEEP_BATCH)).forEach(this::settle));
        sweep(() -> inTransaction(session -> Outbox.dueForALook(session, SWEEP_BATCH)).forEach(this::lookAgain));
        sweep(() -> RealmLogout.goOn(factory, this));
        sweep(() -> inTransaction(session -> Watch.untold(session, SWEEP_BATCH)).stream()
                .filter(txn -> inTransaction(session -> Watch.tell(session, txn))).forEach(this::settleAndPush));
    }

    private static void sweep(Runnable part) {
        try {
            part.run();
        } catch (RuntimeException e) {
            LOG.error("A part of the sweep for sessions left alive failed; it runs again", e);
        }
    }

    void prune() {
        prune(Ledger::prune, Ledger.PRUNE_BATCH);
        prune(Ledger::pruneOfNobody, Integer.MAX_VALUE);
        prune(Outbox::prune, Integer.MAX_VALUE);
        prune(RealmLogout::prune, Integer.MAX_VALUE);
        prune(Watch::prune, Integer.MAX_VALUE);
    }

    /** Batch by batch, each in a transaction of its own, until one is not full. */
    private void prune(KeycloakSessionTaskWithResult<Integer> forget, int batch) {
        try {
            for (int n = 0; n < PRUNE_BATCHES && inTransaction(forget) >= batch; n++) {
                LOG.debug("More is past than one batch; pruning goes on");
            }
        } catch (RuntimeException e) {
            LOG.error("Pruning the ledger and the outbox failed; it runs again", e);
        }
    }

    void close() {
        pool.shutdownNow();
    }

    private <T> T inTransaction(KeycloakSessionTaskWithResult<T> task) {
        return KeycloakModelUtils.runJobInTransactionWithResult(factory, task);
    }
}
