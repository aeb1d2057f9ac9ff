package org.logoutrelay.keycloak.containment;

import java.util.List;
import java.util.Map;

import org.jboss.logging.Logger;
import org.keycloak.OAuth2Constants;
import org.keycloak.common.util.Time;
import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.representations.RefreshToken;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.gate.Gate;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.outbox.OutboxRow;
import org.logoutrelay.keycloak.outbox.SecurityEvent;

import jakarta.persistence.EntityManager;
import jakarta.persistence.LockModeType;

/**
 * Whoever held a privileged account may try to come back, with the old password, an old token, or the new password. For a
 * quarter of an hour after an event logins, failed logins and refused refreshes of its privileged subject are counted, and
 * told to the relay with the event's {@code txn}. Counted, not listed: somebody who guesses passwords makes no rows.
 */
public final class Watch {
    private static final Logger LOG = Logger.getLogger(Watch.class);
    private static final long WINDOW_MS = 15L * 60 * 1000;

    private enum Sight {
        LOGIN("logins"), FAILED_LOGIN("failedLogins"), REFUSED_REFRESH("refusedRefreshes");

        private final String field;

        Sight(String field) {
            this.field = field;
        }
    }

    private Watch() {
    }

    /** From now on what is seen belongs to this event, and to none before it. */
    static void begin(KeycloakSession session, SecurityEvent event, long watermarkMs) {
        EntityManager em = Jpa.em(session);
        em.createQuery("update WatchRow w set w.untilMs = :at where w.userId = :user and w.realmId = :realm and w.untilMs > :at")
                .setParameter("at", watermarkMs).setParameter("user", event.userId()).setParameter("realm", event.realmId())
                .executeUpdate();
        WatchRow row = new WatchRow();
        row.txn = event.txn();
        row.realmId = event.realmId();
        row.userId = event.userId();
        row.untilMs = watermarkMs + WINDOW_MS;
        em.persist(row);
    }

    public static AllOrNothing.Recording loggedIn(KeycloakSession session, RealmModel realm, String userId) {
        return !Gate.of(session).hasWatermark(realm, userId) ? AllOrNothing.Recording.NOTHING : () -> {
            count(session, realm.getId(), userId, Sight.LOGIN);
            return null;
        };
    }

    private static void count(KeycloakSession session, String realmId, String userId, Sight sight) {
        Jpa.em(session).createQuery("update WatchRow w set w." + sight.field + " = w." + sight.field + " + 1"
                + " where w.userId = :user and w.realmId = :realm and w.untilMs > :now").setParameter("user", userId)
                .setParameter("realm", realmId).setParameter("now", Time.currentTimeMillis()).executeUpdate();
    }

    /** Keycloak tells of an error in a transaction of its own. Never throws: an error must stay the error that it is. */
    public static void seeError(KeycloakSession session, Event event) {
        try {
            if (event.getType() == EventType.LOGIN_ERROR && event.getUserId() != null) {
                count(session, event.getRealmId(), event.getUserId(), Sight.FAILED_LOGIN);
            } else if (event.getType() == EventType.REFRESH_TOKEN_ERROR) {
                String user = event.getUserId() == null ? subjectOfRefreshToken(session) : event.getUserId();
                if (user != null) {
                    count(session, event.getRealmId(), user, Sight.REFUSED_REFRESH);
                }
            }
        } catch (RuntimeException e) {
            LOG.errorf(e, "An error event of type %s could not be counted", event.getType());
        }
    }

    /** Of a token whose session is gone Keycloak does not say whose it was. Its signature is verified here. */
    private static String subjectOfRefreshToken(KeycloakSession session) {
        String token = session.getContext().getHttpRequest().getDecodedFormParameters().getFirst(OAuth2Constants.REFRESH_TOKEN);
        RefreshToken decoded = token == null ? null : session.tokens().decode(token, RefreshToken.class);
        return decoded == null ? null : decoded.getSubject();
    }

    /** The events of which something has been seen that the relay has not been told. */
    public static List<String> untold(KeycloakSession session, int max) {
        return Jpa.em(session).createQuery("select w.txn from WatchRow w where w.logins + w.failedLogins + w.refusedRefreshes > 0",
                String.class).setMaxResults(max).getResultList();
    }

    /** Writes what has been seen as a supplementary row, and begins to count anew. */
    public static boolean tell(KeycloakSession session, String txn) {
        EntityManager em = Jpa.em(session);
        WatchRow seen = em.find(WatchRow.class, txn, LockModeType.PESSIMISTIC_WRITE);
        OutboxRow first = Outbox.firstOf(session, txn).orElse(null);
        RealmModel realm = first == null ? null : session.realms().getRealm(first.event().realmId());
        if (seen == null || realm == null) {
            return false;
        }
        OutboxRow row = first.supplement();
        row.watched(Map.of("logins", seen.logins, "failed_logins", seen.failedLogins, "refused_refreshes", seen.refusedRefreshes));
        Outbox.append(session, row);
        seen.logins = 0;
        seen.failedLogins = 0;
        seen.refusedRefreshes = 0;
        return true;
    }

    public static int prune(KeycloakSession session) {
        return Jpa.em(session).createQuery("delete from WatchRow w where w.untilMs < :now"
                + " and w.logins + w.failedLogins + w.refusedRefreshes = 0")
                .setParameter("now", Time.currentTimeMillis()).executeUpdate();
    }
}
