package org.logoutrelay.keycloak.settle;

import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.KeycloakSessionTaskWithResult;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.containment.RealmLogout;
import org.logoutrelay.keycloak.containment.Watch;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.ledger.LedgerPast;
import org.logoutrelay.keycloak.ledger.Templates;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.upstream.Upstreams;
import org.logoutrelay.keycloak.workload.Workloads;

/**
 * Forgets what nobody can ask for any more, on a thread of its own: Keycloak's timer has one for all that is scheduled, and
 * whatever throws there ends it. A run goes on until nothing is left, however much there was.
 */
final class Pruner {
    private static final Logger LOG = Logger.getLogger(Pruner.class);

    private static final long EVERY_MS = 10L * 60 * 1000;

    /** Failures in a row that say that the database takes nothing now. */
    private static final int MOST_FAILURES = 5;

    private final KeycloakSessionFactory factory;
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread made = new Thread(task, "logout-relay-pruner");
        made.setDaemon(true);
        made.setPriority(Thread.MIN_PRIORITY);
        return made;
    });

    Pruner(KeycloakSessionFactory factory) {
        this.factory = factory;
    }

    /** At once, too: a node that is started more often than that would prune nothing. */
    void start() {
        thread.scheduleWithFixedDelay(this::run, 0, EVERY_MS, TimeUnit.MILLISECONDS);
    }

    void close() {
        thread.shutdownNow();
    }

    private void run() {
        part("the ledger", this::ledger);
        part("the ledger's templates", () -> inTransaction(Templates::prune));
        part("the watermarks of nobody", () -> inTransaction(Pruner::ofNobody));
        part("the outbox", () -> batches(Outbox.PRUNE_BATCH, Outbox::prune));
        part("the logouts of realms", () -> inTransaction(RealmLogout::prune));
        part("what identity providers have said", () -> inTransaction(Upstreams::prune));
        part("what was watched", () -> inTransaction(Watch::prune));
        part("what clients were given", () -> batches(Workloads.PRUNE_BATCH, Workloads::prune));
    }

    /** Each in a transaction of its own, until one was not full. */
    void batches(int size, KeycloakSessionTaskWithResult<Integer> prune) {
        while (inTransaction(prune) >= size && !thread.isShutdown()) {
            LOG.debug("More is past than one batch; pruning goes on");
        }
    }

    /** Stretch by stretch of time, each in a transaction of its own. One that fails is left for the next run, and keeps back no other. */
    private void ledger() {
        LedgerPast.Stretch last = null;
        int failures = 0;
        long gone = 0;
        while (failures < MOST_FAILURES && !thread.isShutdown()) {
            LedgerPast.Stretch stretch = behind(last);
            if (stretch == null) {
                break;
            }
            try {
                gone += inTransaction(session -> LedgerPast.prune(session, stretch));
                failures = 0;
            } catch (RuntimeException e) {
                failures++;
                LOG.errorf(e, "Some rows of the ledger could not be pruned; pruning goes on behind them, and comes again to them");
            }
            last = stretch;
        }
        LOG.debugf("%d rows of the ledger were past and are gone", gone);
    }

    private LedgerPast.Stretch behind(LedgerPast.Stretch last) {
        return inTransaction(session -> LedgerPast.next(session, last));
    }

    /** What is thrown here would end the schedule. */
    private static void part(String what, Runnable prune) {
        try {
            prune.run();
        } catch (Throwable t) {
            LOG.errorf(t, "Pruning %s failed; it runs again in %d minutes", what, TimeUnit.MILLISECONDS.toMinutes(EVERY_MS));
        }
    }

    private <T> T inTransaction(KeycloakSessionTaskWithResult<T> task) {
        return KeycloakModelUtils.runJobInTransactionWithResult(factory, task);
    }

    /**
     * Forgets the watermarks, and the second factors that are owed, of users who are gone, and of realms that are; after
     * as long as an outbox row is kept. A user whom a federation does not import is in no table of Keycloak's and stays.
     */
    private static int ofNobody(KeycloakSession session) {
        long old = Time.currentTimeMillis() - Outbox.KEEP_MS;
        int pruned = 0;
        for (String rows : List.of("WatermarkRow r where r.watermarkMs < :old", "StepUpRow r where r.sinceMs < :old")) {
            pruned += Jpa.em(session).createQuery("delete from " + rows + " and (not exists (select 1 from RealmEntity e where"
                    + " e.id = r.realmId) or r.userId <> :everybody and r.userId not like 'f:%' and not exists"
                    + " (select 1 from UserEntity u where u.id = r.userId))").setParameter("old", old)
                    .setParameter("everybody", Watermarks.EVERYBODY).executeUpdate();
        }
        return pruned;
    }
}
