package org.logoutrelay.keycloak.outbox;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.gate.Nodes;

import jakarta.persistence.EntityManager;
import jakarta.persistence.LockModeType;

/**
 * The rows owed to the relay. A row is kept until every session in it has its end, and thirty days longer, so that a
 * relay that lost its store can read it again.
 */
public final class Outbox {
    public static final long KEEP_MS = 30L * 24 * 60 * 60 * 1000;

    /** A row that the relay refused is offered again only after this long, or one bad row would be all that it polls. */
    private static final long REFUSED_REST_MS = 5L * 60 * 1000;

    /** Younger rows are still being settled by the node that wrote them. */
    private static final long SETTLING_MS = 2000;

    /** After this long another node cleans up, too. */
    private static final long CLEANING_MS = 120_000;

    /** When to look again after the event; the last is after Keycloak's longest transaction, of five minutes. */
    static final long[] LOOKS_MS = {5_000, 60_000, 360_000};

    /** Sessions in one SET; more become several with the same {@code txn}. */
    private static final int PART_SIZE = 500;

    public static final int PRUNE_BATCH = 500;

    private Outbox() {
    }

    public static Optional<OutboxRow> find(KeycloakSession session, String jti) {
        return Optional.ofNullable(Jpa.em(session).find(OutboxRow.class, jti));
    }

    public static Optional<OutboxRow> find(KeycloakSession session, String realmId, String jti) {
        return find(session, jti).filter(row -> row.event.realmId().equals(realmId));
    }

    public static Optional<OutboxRow> firstOf(KeycloakSession session, String txn) {
        return Jpa.em(session).createQuery("select o from OutboxRow o where o.event.txn = :txn order by o.part", OutboxRow.class)
                .setParameter("txn", txn).setMaxResults(1).getResultStream().findFirst();
    }

    /** The same, for one node at a time: two that look at one event would list and tell twice. */
    public static Optional<OutboxRow> lockFirstOf(KeycloakSession session, String txn) {
        return Jpa.em(session).createQuery("select o from OutboxRow o where o.event.txn = :txn order by o.part, o.jti", OutboxRow.class)
                .setParameter("txn", txn).setMaxResults(1).setLockMode(LockModeType.PESSIMISTIC_WRITE).getResultStream().findFirst();
    }

    /** Owes the relay a row that lists nobody, or nobody yet. */
    public static void append(KeycloakSession session, OutboxRow row) {
        append(session, row, List.of());
    }

    /** The same with those whom only the change itself can know: they are listed beside all that are found after it. */
    public static void append(KeycloakSession session, OutboxRow row, List<ListedSession> known) {
        write(session, row, known);
    }

    /** Owes the relay a row of which it is known whom to tell, in as many parts as it takes. */
    public static void appendListed(KeycloakSession session, OutboxRow row, List<ListedSession> sessions) {
        row.listedMs = Time.currentTimeMillis();
        write(session, row, sessions);
    }

    private static void write(KeycloakSession session, OutboxRow row, List<ListedSession> sessions) {
        row.jti = Ids.next();
        spread(session, row, sessions);
        Jpa.em(session).persist(row);
    }

    /** Who has to be told of an event is known from here on, and the relay may have its rows. */
    public static void list(KeycloakSession session, OutboxRow event, List<ListedSession> sessions) {
        event.listedMs = Time.currentTimeMillis();
        spread(session, event, Stream.concat(ListedSession.read(event.sessions).stream(), sessions.stream()).toList());
    }

    private static void spread(KeycloakSession session, OutboxRow first, List<ListedSession> sessions) {
        List<List<ListedSession>> parts = parts(sessions);
        for (int n = 0; n < parts.size(); n++) {
            List<ListedSession> listed = parts.get(n);
            OutboxRow row = n == 0 ? first : first.nextPart();
            row.part = n + 1;
            row.parts = parts.size();
            row.sessions = ListedSession.write(listed);
            row.lastEnd = listed.stream().mapToLong(ListedSession::latestEnd).max().orElse(0);
            row.openSessions = row.event.shadow() ? 0 : (int) listed.stream().filter(ListedSession::awaitsAnswer).count();
            if (n > 0) {
                row.jti = Ids.next();
                Jpa.em(session).persist(row);
            }
        }
    }

    /** At least one part, even of a subject without sessions: the event itself is reported too. */
    static List<List<ListedSession>> parts(List<ListedSession> sessions) {
        List<List<ListedSession>> parts = new ArrayList<>();
        for (int from = 0; from == 0 || from < sessions.size(); from += PART_SIZE) {
            parts.add(sessions.subList(from, Math.min(from + PART_SIZE, sessions.size())));
        }
        return parts;
    }

    /** Whether an event about the client of that client id, as it was then, has reached this far. */
    public static boolean hasEnded(KeycloakSession session, String realmId, String clientId, long sinceMs) {
        return Jpa.em(session).createQuery("select count(o) from OutboxRow o where o.watermarkMs >= :since and o.event.realmId = :realm"
                + " and o.event.client = :client and o.event.shadow = false", Long.class).setParameter("since", sinceMs)
                .setParameter("realm", realmId).setParameter("client", clientId).getSingleResult() > 0;
    }

    /** Whether an event of that name, ours or another's, has ended all that the user has. */
    public static boolean hasEnded(KeycloakSession session, String realmId, String userId, String txn, long sinceMs) {
        return Jpa.em(session).createQuery("select count(o) from OutboxRow o where o.watermarkMs >= :since and o.event.realmId = :realm"
                + " and o.event.userId = :user and (o.event.txn = :txn or o.event.upstreamTxn = :txn) and o.event.sid is null"
                + " and o.event.shadow = false", Long.class).setParameter("since", sinceMs).setParameter("realm", realmId)
                .setParameter("user", userId).setParameter("txn", txn).getSingleResult() > 0;
    }

    /** All that the rows of this event list, by {@link ListedSession#key()}. */
    public static Set<String> listed(KeycloakSession session, String txn) {
        return Jpa.em(session).createQuery("select o.sessions from OutboxRow o where o.event.txn = :txn", String.class)
                .setParameter("txn", txn).getResultStream().flatMap(json -> ListedSession.read(json).stream())
                .map(ListedSession::key).collect(Collectors.toCollection(HashSet::new));
    }

    /** No old session of the event's subject is left in Keycloak's store. */
    public static void removed(KeycloakSession session, String txn) {
        EntityManager em = Jpa.em(session);
        em.flush();
        em.createQuery("update OutboxRow o set o.removedMs = :now where o.event.txn = :txn and o.removedMs is null")
                .setParameter("now", Time.currentTimeMillis()).setParameter("txn", txn).executeUpdate();
    }

    /** Those that are due the longest first, or some would never come to their turn where more are due than one sweep takes. */
    public static List<String> dueForALook(KeycloakSession session, int max) {
        return Jpa.em(session).createQuery("select o.event.txn from OutboxRow o where o.nextLookMs < :now"
                + " group by o.event.txn order by min(o.nextLookMs)", String.class)
                .setParameter("now", Time.currentTimeMillis()).setMaxResults(max).getResultList();
    }

    private static List<OutboxRow> due(KeycloakSession session, String txn) {
        return Jpa.em(session).createQuery("select o from OutboxRow o where o.event.txn = :txn and o.nextLookMs is not null"
                + " order by o.part", OutboxRow.class).setParameter("txn", txn).getResultList();
    }

    /** The look that is due is over; the next one, if there is one, comes in its time. */
    public static void looked(KeycloakSession session, OutboxRow event) {
        Long next = nextLook(event.looksFromMs(), Time.currentTimeMillis());
        due(session, event.event.txn()).forEach(row -> row.nextLookMs = next);
    }

    /** The look that is due has failed, and is made again after this long. */
    public static void putOffLook(KeycloakSession session, String txn, long ms) {
        due(session, txn).forEach(row -> row.nextLookMs = Time.currentTimeMillis() + ms);
    }

    /** When this event is looked at again, or null after the last look. */
    private static Long nextLook(long looksFromMs, long nowMs) {
        for (long after : LOOKS_MS) {
            if (looksFromMs + after > nowMs) {
                return looksFromMs + after;
            }
        }
        return null;
    }

    /** Events of some time ago of which nobody has listed whom to tell. */
    public static List<String> unlisted(KeycloakSession session, int max) {
        return Jpa.em(session).createQuery(
                "select distinct o.event.txn from OutboxRow o where o.listedMs is null and o.watermarkMs < :before", String.class)
                .setParameter("before", Time.currentTimeMillis() - SETTLING_MS).setMaxResults(max).getResultList();
    }

    /** Events after which dead sessions may be left in the store: of this node, or of one that has had its time. */
    public static List<String> uncleaned(KeycloakSession session, int max) {
        long now = Time.currentTimeMillis();
        return Jpa.em(session).createQuery("select distinct o.event.txn from OutboxRow o where o.removedMs is null"
                + " and o.watermarkMs < :before and (o.event.node = :node or o.watermarkMs < :long)", String.class)
                .setParameter("before", now - SETTLING_MS).setParameter("node", Nodes.ID)
                .setParameter("long", now - CLEANING_MS).setMaxResults(max).getResultList();
    }

    /** The {@code txn}s of this realm whose rows a poll cannot hand out before it has listed whom to tell. */
    public static List<String> unlisted(KeycloakSession session, String realmId, int max) {
        return Jpa.em(session).createQuery(
                "select distinct o.event.txn from OutboxRow o where o.listedMs is null and o.event.realmId = :realm", String.class)
                .setParameter("realm", realmId).setMaxResults(max).getResultList();
    }

    public static List<String> unacknowledged(KeycloakSession session, String txn) {
        return Jpa.em(session).createQuery("select o.jti from OutboxRow o where o.event.txn = :txn and o.ackedMs is null"
                + " and o.listedMs is not null order by o.part", String.class).setParameter("txn", txn).getResultList();
    }

    /** What a poll hands out, oldest first. */
    public static List<OutboxRow> pending(KeycloakSession session, String realmId, int max) {
        return Jpa.em(session).createQuery("select o from OutboxRow o where o.ackedMs is null and o.event.realmId = :realm"
                + " and o.listedMs is not null and (o.errMs is null or o.errMs < :rested)"
                + " order by o.watermarkMs, o.part", OutboxRow.class)
                .setParameter("realm", realmId).setParameter("rested", Time.currentTimeMillis() - REFUSED_REST_MS)
                .setMaxResults(max).getResultList();
    }

    /** A page of the outbox: what of each row, and where the next page begins, or null after the last one. */
    public record Page(List<String> jtis, String next) {
    }

    /** Rows that the relay has taken and in which a session has no end yet. */
    public static Page incomplete(KeycloakSession session, String realmId, String after, int max) {
        return page(session, realmId, "o.openSessions > 0 and o.lastEnd >= " + Time.currentTime() + " and o.ackedMs is not null",
                after == null ? "0:" : after, max);
    }

    /** All rows since then, taken or not, with those of transactions that were under way then. */
    public static Page since(KeycloakSession session, String realmId, long sinceMs, String after, int max) {
        return page(session, realmId, "o.jti is not null", after == null ? sinceMs - LOOKS_MS[LOOKS_MS.length - 1] + ":" : after,
                max);
    }

    /** @param after watermark and jti of the last row before the page, with a colon between them */
    private static Page page(KeycloakSession session, String realmId, String which, String after, int max) {
        int colon = after.indexOf(':');
        List<Object[]> rows = Jpa.em(session).createQuery("select o.jti, o.watermarkMs from OutboxRow o where o.event.realmId = :realm"
                + " and o.listedMs is not null and " + which
                + " and (o.watermarkMs > :ms or (o.watermarkMs = :ms and o.jti > :jti)) order by o.watermarkMs, o.jti",
                Object[].class).setParameter("realm", realmId).setParameter("ms", Long.parseLong(after.substring(0, colon)))
                .setParameter("jti", after.substring(colon + 1)).setMaxResults(max).getResultList();
        Object[] last = rows.size() < max ? null : rows.get(max - 1);
        return new Page(rows.stream().map(row -> (String) row[0]).toList(), last == null ? null : last[1] + ":" + last[0]);
    }

    /** What the relay has not taken yet, what of it it refused, and since when the oldest waits (absent if none does). */
    public static Map<String, Long> depth(KeycloakSession session, String realmId) {
        Object[] row = Jpa.em(session).createQuery("select count(o), count(o.errMs), min(o.watermarkMs) from OutboxRow o"
                + " where o.ackedMs is null and o.event.realmId = :realm", Object[].class)
                .setParameter("realm", realmId).getSingleResult();
        Map<String, Long> depth = new HashMap<>(Map.of("waiting", (Long) row[0], "refused", (Long) row[1]));
        if (row[2] != null) {
            depth.put("oldest_ms", (Long) row[2]);
        }
        return depth;
    }

    /** How many other users somebody has asked to contain since then. */
    public static long askedSince(KeycloakSession session, String realmId, String otherThan, long sinceMs) {
        return Jpa.em(session).createQuery("select count(distinct o.event.userId) from OutboxRow o where o.event.realmId = :realm"
                + " and o.event.askedBy is not null and o.event.userId <> :other and o.watermarkMs > :since", Long.class)
                .setParameter("realm", realmId).setParameter("other", otherThan).setParameter("since", sinceMs).getSingleResult();
    }

    public static boolean acknowledge(KeycloakSession session, String jti) {
        return find(session, jti).map(row -> {
            if (row.ackedMs == null) {
                row.ackedMs = Time.currentTimeMillis();
            }
            row.err = null;
            row.errDescription = null;
            row.errMs = null;
            return true;
        }).orElse(false);
    }

    public static void refuse(OutboxRow row, String err, String description) {
        row.err = err;
        row.errDescription = description;
        row.errMs = Time.currentTimeMillis();
    }

    public static int prune(KeycloakSession session) {
        EntityManager em = Jpa.em(session);
        long old = Time.currentTimeMillis() - KEEP_MS;
        List<String> done = em.createQuery("select o.jti from OutboxRow o where o.watermarkMs < :old"
                + " and o.ackedMs is not null and (o.endedMs < :old or o.lastEnd < :oldSeconds)", String.class)
                .setParameter("old", old).setParameter("oldSeconds", old / 1000).setMaxResults(PRUNE_BATCH).getResultList();
        if (!done.isEmpty()) {
            em.createQuery("delete from AnswerRow a where a.jti in :done").setParameter("done", done).executeUpdate();
            em.createQuery("delete from OutboxRow o where o.jti in :done").setParameter("done", done).executeUpdate();
        }
        return done.size();
    }
}
