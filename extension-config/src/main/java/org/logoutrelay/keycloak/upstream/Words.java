package org.logoutrelay.keycloak.upstream;

import org.jboss.logging.Logger;
import org.keycloak.models.KeycloakSession;
import org.logoutrelay.keycloak.base.Jpa;

/** What each identity provider has said, and what became of it. Its source's row is locked meanwhile. */
final class Words {
    private static final Logger LOG = Logger.getLogger(Words.class);

    private Words() {
    }

    /** Written where it is new. @return what becomes of it: {@code contained}, {@code held} or {@code known} */
    static String judge(KeycloakSession session, SourceRow source, WordRow row, long limit, long windowMs) {
        if (isKnown(session, row)) {
            return "known";
        }
        boolean waiting = held(session, source) > 0;
        long sinceMs = Math.max(row.heardMs - windowMs, source.decidedMs);
        if (waiting || contained(session, source, row.userId, sinceMs) >= limit || times(session, source, row.userId, sinceMs) >= limit) {
            if (!waiting) {
                LOG.warnf("Identity provider %s has named more than %d users, or one so often, within %d seconds: nothing further is ended until"
                        + " somebody says so: logout-relay held confirm %s --reason ...",
                        source.iss, (Long) limit, (Long) (windowMs / 1000), source.id);
            }
            hold(session, row);
            return "held";
        }
        row.state = WordRow.DONE;
        Jpa.em(session).persist(row);
        return "contained";
    }

    /** The same message, or one that ends nothing which another of the kind has not ended or was to end. */
    private static boolean isKnown(KeycloakSession session, WordRow row) {
        return !Jpa.em(session).createQuery("select w.id from WordRow w where w.id = :id or w.sourceId = :source and w.userId = :user"
                + " and w.triggerId = :trigger and w.atMs >= :at", String.class).setParameter("id", row.id)
                .setParameter("source", row.sourceId).setParameter("user", row.userId).setParameter("trigger", row.triggerId)
                .setParameter("at", row.atMs).setMaxResults(1).getResultList().isEmpty();
    }

    /** One row for each user and trigger, however often it is said: a source that never stops fills no table. */
    private static void hold(KeycloakSession session, WordRow row) {
        int raised = Jpa.em(session).createQuery("update WordRow w set w.atMs = :at where w.sourceId = :source and w.userId = :user"
                + " and w.triggerId = :trigger and w.state = :held").setParameter("at", row.atMs).setParameter("source", row.sourceId)
                .setParameter("user", row.userId).setParameter("trigger", row.triggerId).setParameter("held", WordRow.HELD).executeUpdate();
        if (raised == 0) {
            row.state = WordRow.HELD;
            Jpa.em(session).persist(row);
        }
    }

    static long held(KeycloakSession session, SourceRow source) {
        return Jpa.em(session).createQuery("select count(w) from WordRow w where w.sourceId = :source and w.state = :held", Long.class)
                .setParameter("source", source.id).setParameter("held", WordRow.HELD).getSingleResult();
    }

    /** How many other users its word has contained since then. */
    private static long contained(KeycloakSession session, SourceRow source, String otherThan, long sinceMs) {
        return Jpa.em(session).createQuery("select count(distinct w.userId) from WordRow w where w.sourceId = :source and w.state = :done"
                + " and w.userId <> :other and w.heardMs > :since", Long.class).setParameter("source", source.id)
                .setParameter("done", WordRow.DONE).setParameter("other", otherThan)
                .setParameter("since", sinceMs).getSingleResult();
    }

    /** How often its word has contained this user since then: else one user could be kept out without end, and fill the outbox. */
    private static long times(KeycloakSession session, SourceRow source, String userId, long sinceMs) {
        return Jpa.em(session).createQuery("select count(w) from WordRow w where w.sourceId = :source and w.state = :done"
                + " and w.userId = :user and w.heardMs > :since", Long.class).setParameter("source", source.id)
                .setParameter("done", WordRow.DONE).setParameter("user", userId).setParameter("since", sinceMs).getSingleResult();
    }

    /** A person's word about all that is held. */
    static void decide(KeycloakSession session, SourceRow source, boolean confirmed) {
        Jpa.em(session).createQuery("update WordRow w set w.state = :state where w.sourceId = :source and w.state = :held")
                .setParameter("state", confirmed ? WordRow.CONFIRMED : WordRow.DISMISSED).setParameter("source", source.id)
                .setParameter("held", WordRow.HELD).executeUpdate();
    }
}
