package org.logoutrelay.keycloak.settle;

import java.util.List;

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
import org.logoutrelay.keycloak.ledger.Ledger;
import org.logoutrelay.keycloak.outbox.Outbox;

/** Forgets what nobody needs any more. */
public final class Pruning {
    private static final Logger LOG = Logger.getLogger(Pruning.class);

    /** Of {@link Ledger#PRUNE_BATCH} rows each in one pruning: fourteen million rows a day. */
    private static final int BATCHES = 200;

    private Pruning() {
    }

    /** Never throws. */
    public static void run(KeycloakSessionFactory factory) {
        prune(factory, Ledger::prune, Ledger.PRUNE_BATCH);
        prune(factory, Pruning::ofNobody, Integer.MAX_VALUE);
        prune(factory, Outbox::prune, Integer.MAX_VALUE);
        prune(factory, RealmLogout::prune, Integer.MAX_VALUE);
        prune(factory, Watch::prune, Integer.MAX_VALUE);
    }

    /** Batch by batch, each in a transaction of its own, until one is not full. */
    private static void prune(KeycloakSessionFactory factory, KeycloakSessionTaskWithResult<Integer> forget, int batch) {
        try {
            for (int n = 0; n < BATCHES && KeycloakModelUtils.runJobInTransactionWithResult(factory, forget) >= batch; n++) {
                LOG.debug("More is past than one batch; pruning goes on");
            }
        } catch (RuntimeException e) {
            LOG.error("Pruning the ledger and the outbox failed; it runs again", e);
        }
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
