package org.logoutrelay.keycloak.ledger;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.jboss.logging.Logger;
import org.keycloak.common.util.MultiSiteUtils;
import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserSessionProvider;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.gate.SessionStore;

import jakarta.persistence.Query;

/**
 * Forgets sessions that can no longer live anywhere: past their latest end, and gone at Keycloak. A row whose session
 * Keycloak still has is looked at again when its idle time has passed once more. All of it by set: a question for each row
 * keeps up with no busy realm.
 */
public final class LedgerPast {
    private static final Logger LOG = Logger.getLogger(LedgerPast.class);

    /** Rows in one transaction, and those that end in the same second as the last of them. */
    private static final int BATCH = 5_000;

    /** Keys in one statement; some databases take no more than two thousand parameters. */
    private static final int CHUNK = 500;

    private static final String IN_STRETCH = " where l.latestEnd > :after and l.latestEnd <= :upTo";

    private static final String LIVES = "exists (select 1 from PersistentUserSessionEntity s, RealmEntity e"
            + " where s.userSessionId = l.sid and e.id = s.realmId)";

    private static final String STAYS = "update LedgerRow l set l.latestEnd = :until" + IN_STRETCH
            + " and l.template in (select t.id from TemplateRow t where t.realmId = :realm) and ";

    private LedgerPast() {
    }

    /** The rows with a latest end in these seconds. */
    public record Stretch(long after, long upTo, long now) {
        private <Q extends Query> Q of(Q query) {
            query.setParameter("after", after).setParameter("upTo", upTo);
            return query;
        }
    }

    /**
     * @param last of this run, or null for its first. A run goes forward only: what it has deleted still lies in the index,
     *            and looking through that again for each batch would take longer each time
     * @return null where nothing is past any more
     */
    public static Stretch next(KeycloakSession session, Stretch last) {
        long now = last == null ? Time.currentTime() : last.now;
        long after = last == null ? Long.MIN_VALUE : last.upTo;
        if (after == now - 1) {
            return null;
        }
        long upTo = Jpa.em(session).createQuery("select l.latestEnd from LedgerRow l where l.latestEnd > :after"
                + " and l.latestEnd < :now order by l.latestEnd", Long.class).setParameter("after", after)
                .setParameter("now", now).setFirstResult(BATCH - 1).setMaxResults(1).getResultStream().findFirst().orElse(now - 1);
        return new Stretch(after, upTo, now);
    }

    /** @return how many rows are gone */
    public static int prune(KeycloakSession session, Stretch stretch) {
        if (!MultiSiteUtils.isPersistentSessionsEnabled()) {
            keepThoseInMemory(session, stretch);
        }
        List<String> realms = stretch.of(Jpa.em(session).createQuery("select distinct t.realmId from LedgerRow l"
                + " join TemplateRow t on t.id = l.template" + IN_STRETCH + " and " + LIVES, String.class)).getResultList();
        for (String realmId : realms) {
            stretch.of(Jpa.em(session).createQuery(STAYS + LIVES)).setParameter("realm", realmId)
                    .setParameter("until", until(stretch, session.realms().getRealm(realmId))).executeUpdate();
        }
        return stretch.of(Jpa.em(session).createQuery("delete from LedgerRow l" + IN_STRETCH + " and not " + LIVES)).executeUpdate();
    }

    private static long until(Stretch stretch, RealmModel realm) {
        return stretch.now + (realm == null ? 0 : Math.max(realm.getSsoSessionIdleTimeout(), realm.getOfflineSessionIdleTimeout()));
    }

    /** Where Keycloak is told to keep no online session in its database, only its caches know which of them live. */
    private static void keepThoseInMemory(KeycloakSession session, Stretch stretch) {
        UserSessionProvider store = SessionStore.of(session);
        Map<String, List<String>> living = new HashMap<>();
        List<Object[]> all = stretch.of(Jpa.em(session).createQuery("select distinct t.realmId, l.sid from LedgerRow l"
                + " join TemplateRow t on t.id = l.template" + IN_STRETCH, Object[].class)).getResultList();
        for (Object[] row : all) {
            RealmModel realm = session.realms().getRealm((String) row[0]);
            if (realm != null && lives(store, realm, (String) row[1])) {
                living.computeIfAbsent(realm.getId(), id -> new ArrayList<>()).add((String) row[1]);
            }
        }
        living.forEach((realmId, sids) -> {
            long until = until(stretch, session.realms().getRealm(realmId));
            for (int from = 0; from < sids.size(); from += CHUNK) {
                List<String> some = sids.subList(from, Math.min(from + CHUNK, sids.size()));
                stretch.of(Jpa.em(session).createQuery(STAYS + "l.sidKey in :sidKeys and l.sid in :sids"))
                        .setParameter("realm", realmId).setParameter("until", until)
                        .setParameter("sidKeys", some.stream().map(Ids::key).toList()).setParameter("sids", some).executeUpdate();
            }
        });
    }

    /** A session that cannot be looked at may live. */
    private static boolean lives(UserSessionProvider store, RealmModel realm, String sid) {
        try {
            return store.getUserSession(realm, sid) != null;
        } catch (RuntimeException e) {
            LOG.debugf(e, "A session of realm %s could not be looked at; its row in the ledger is kept", realm.getName());
            return true;
        }
    }
}
