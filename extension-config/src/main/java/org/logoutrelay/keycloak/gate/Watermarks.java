package org.logoutrelay.keycloak.gate;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;

import org.keycloak.models.KeycloakSession;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.Json;

import jakarta.persistence.EntityManager;
import jakarta.persistence.FlushModeType;

/**
 * The instants up to which logins are dead, read from the database each time: a cache would be late on the node that has
 * not heard of the reset, and that is where an attacker would go.
 */
public final class Watermarks {
    /** Instead of a user's id: all users of the realm. */
    public static final String EVERYBODY = "*";

    private Watermarks() {
    }

    /** Those of the user and of everybody that a login which began then is not newer than; newest first. */
    static List<WatermarkRow> since(KeycloakSession session, String realmId, String userId, long beganMs) {
        return read(session, "select w from WatermarkRow w where w.userId in (:user, :everybody) and w.realmId = :realm"
                + " and w.watermarkMs >= :began order by w.watermarkMs desc")
                .setParameter("user", userId).setParameter("everybody", EVERYBODY).setParameter("realm", realmId)
                .setParameter("began", beganMs).getResultList();
    }

    /** The same of a user of whichever realm: an administrator may open sessions as others in another realm than their own. */
    static List<WatermarkRow> since(KeycloakSession session, String userId, long beganMs) {
        return read(session, "select w from WatermarkRow w where w.userId = :user and w.sid is null"
                + " and w.linksOnly = false and w.watermarkMs >= :began order by w.watermarkMs desc")
                .setParameter("user", userId).setParameter("began", beganMs).getResultList();
    }

    /** Those that this node may not have heard of yet. */
    static List<WatermarkRow> recent(KeycloakSession session, long sinceMs) {
        return read(session, "select w from WatermarkRow w where w.watermarkMs >= :since").setParameter("since", sinceMs)
                .getResultList();
    }

    /**
     * In a query whose {@code :realm} is the realm's id: that no event has ended all of what began then. One that spares a
     * client's offline sessions has not, nor has one for mailed links alone.
     *
     * @param userId the path to the user's id
     * @param isReached says that {@code w.watermarkMs} reaches it
     */
    public static String noneHasEnded(String userId, String isReached) {
        return "not exists (select 1 from WatermarkRow w where w.userId in (" + userId + ", '" + EVERYBODY + "') and w.realmId = :realm"
                + " and w.sid is null and w.linksOnly = false and w.sparedClients is null and " + isReached + ")";
    }

    /** Whether an event has ended all that the user had by then. */
    public static boolean haveEnded(KeycloakSession session, String realmId, String userId, long atMs) {
        return since(session, realmId, userId, atMs).stream().anyMatch(row -> row.sid == null && !row.linksOnly && !row.sparesSomeClient());
    }

    // Without a flush before the read: rows of this request are known to the gate already, and a flush costs each refresh.
    private static jakarta.persistence.TypedQuery<WatermarkRow> read(KeycloakSession session, String query) {
        return Jpa.em(session).createQuery(query, WatermarkRow.class).setFlushMode(FlushModeType.COMMIT);
    }

    /** The event whose watermark is the subject's newest, or null. */
    public static String newestTxn(KeycloakSession session, String realmId, String userId) {
        return since(session, realmId, userId, 0).stream().filter(row -> row.userId.equals(userId)).map(row -> row.txn)
                .findFirst().orElse(null);
    }

    /** @param sparedClients by client id: their offline sessions outlive the event by policy */
    public static WatermarkRow row(String realmId, String userId, String sid, long watermarkMs, String txn, Set<String> sparedClients) {
        WatermarkRow row = new WatermarkRow();
        row.id = Ids.next();
        row.realmId = realmId;
        row.userId = userId;
        row.sid = sid;
        row.watermarkMs = watermarkMs;
        row.txn = txn;
        row.sparedClients = sparedClients.isEmpty() ? null : Json.write(new TreeSet<>(sparedClients));
        return row;
    }

    /** The event reaches further than was known when it was written: its commit came later. Whoever it spares stays spared. */
    public static void raise(KeycloakSession session, String txn, long toMs) {
        raise(session, txn, toMs, false);
    }

    /**
     * The same for mailed links alone: something from before was used after the event, and refused only when it may have
     * sent a mail. Logins of the time between are those of the person, with the new password.
     */
    static void raiseForLinks(KeycloakSession session, String txn, long toMs) {
        raise(session, txn, toMs, true);
    }

    private static void raise(KeycloakSession session, String txn, long toMs, boolean linksOnly) {
        EntityManager em = Jpa.em(session);
        List<WatermarkRow> rows = em.createQuery("select w from WatermarkRow w where w.txn = :txn"
                + " order by w.linksOnly, w.watermarkMs desc", WatermarkRow.class).setParameter("txn", txn).setMaxResults(1)
                .getResultList();
        for (WatermarkRow newest : rows) {
            if (newest.watermarkMs < toMs) {
                WatermarkRow raised = row(newest.realmId, newest.userId, newest.sid, toMs, txn, Set.copyOf(newest.sparedClients()));
                raised.linksOnly = linksOnly;
                em.persist(raised);
            }
        }
    }
}
