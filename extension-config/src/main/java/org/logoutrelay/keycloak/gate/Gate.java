package org.logoutrelay.keycloak.gate;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserSessionModel;
import org.logoutrelay.keycloak.base.DbClock;

/**
 * Judges logins by their watermark, once for each request: what began at or before it does not exist. Removal of what is
 * dead comes later and is only cleaning up.
 *
 * <p>{@link SessionGate} and {@link TabGate} ask it for all that Keycloak reads, {@link AtCommit} once more before a
 * request that changes something commits.
 */
public final class Gate {
    private static final String ATTRIBUTE = Gate.class.getName();

    /** A login: whose, in which session or tab, since when, and which events it goes on after by right. */
    record Login(RealmModel realm, String userId, String sid, long beganMs, Set<String> spared, String impersonator,
            UserSessionModel session) {
    }

    /** What was read of a user: all rows from this instant on. */
    private record Known(long fromMs, List<WatermarkRow> rows) {
    }

    private final KeycloakSession session;
    private final long requestMs;
    private final Map<String, Known> known = new HashMap<>();
    private final List<WatermarkRow> closing = new ArrayList<>();
    private final Map<String, Login> passed = new HashMap<>();
    private final AtCommit atCommit;

    private Gate(KeycloakSession session) {
        this.session = session;
        this.requestMs = DbClock.now(session);
        this.atCommit = new AtCommit(session, this);
    }

    public static Gate of(KeycloakSession session) {
        Gate gate = session.getAttribute(ATTRIBUTE, Gate.class);
        if (gate == null) {
            gate = new Gate(session);
            session.setAttribute(ATTRIBUTE, gate);
        }
        return gate;
    }

    /** Milliseconds by the database's clock: before this request has checked any proof. */
    long requestMs() {
        return requestMs;
    }

    AtCommit atCommit() {
        return atCommit;
    }

    /** From here on in this request, before the row is written: a person's own login must not go on in the old session. */
    public void close(WatermarkRow row) {
        closing.add(row);
    }

    boolean isClosing(String txn) {
        return closing.stream().anyMatch(row -> row.txn.equals(txn));
    }

    boolean isClosingOf(String userId) {
        return closing.stream().anyMatch(row -> row.userId.equals(userId));
    }

    /** The watermark that this login is dead by, if there is one. */
    Optional<WatermarkRow> deadBy(Login login) {
        return deadBy(login, rows(login.realm().getId(), login.userId(), login.beganMs()));
    }

    /** The same for several, as the database has it at this instant, but for what this request itself has written. */
    Map<Login, WatermarkRow> deadNow(List<Login> logins) {
        Map<String, Long> since = new HashMap<>();
        logins.forEach(login -> since.merge(key(login.realm().getId(), login.userId()), login.beganMs(), Math::min));
        Map<String, List<WatermarkRow>> rows = new HashMap<>();
        Map<Login, WatermarkRow> dead = new LinkedHashMap<>();
        for (Login login : logins) {
            String key = key(login.realm().getId(), login.userId());
            List<WatermarkRow> of = rows.computeIfAbsent(key, one -> Watermarks.since(session, login.realm().getId(),
                    login.userId(), since.get(one)).stream().filter(row -> !isClosing(row.txn)).toList());
            deadBy(login, of).ifPresent(row -> dead.put(login, row));
        }
        return dead;
    }

    /** The watermark that a link is dead by which was mailed to the user then. */
    Optional<WatermarkRow> linkDeadBy(RealmModel realm, String userId, long mailedMs) {
        return rows(realm.getId(), userId, mailedMs).stream()
                .filter(row -> row.sid == null && row.watermarkMs >= mailedMs).findFirst();
    }

    private static String key(String realmId, String userId) {
        return realmId + ' ' + userId;
    }

    private Optional<WatermarkRow> deadBy(Login login, List<WatermarkRow> rows) {
        Optional<WatermarkRow> own = rows.stream().filter(row -> kills(row, login)).findFirst();
        if (own.isPresent() || login.impersonator() == null) {
            return own;
        }
        return Watermarks.since(session, login.impersonator(), login.beganMs()).stream().findFirst();
    }

    private boolean kills(WatermarkRow row, Login login) {
        return !row.linksOnly && (row.sid == null || row.sid.equals(login.sid())) && row.watermarkMs >= login.beganMs()
                && !login.spared().contains(row.txn) && !(row.sparesSomeClient() && isSpared(row, login.session()));
    }

    /** An offline session of a client that policy spares; for that client, not for another one in the same session. */
    private boolean isSpared(WatermarkRow row, UserSessionModel offline) {
        if (offline == null || !offline.isOffline() || !new Spared(Set.copyOf(row.sparedClients())).isSpared(offline)) {
            return false;
        }
        ClientModel asking = session.getContext().getClient();
        return asking == null || row.sparedClients().contains(asking.getClientId())
                || !offline.getAuthenticatedClientSessions().containsKey(asking.getId());
    }

    /**
     * When the login counts from: its beginning, or just after the newest event that it goes on after by right. Milliseconds.
     */
    public long countsFrom(UserSessionModel found) {
        long began = Logins.began(found);
        Set<String> spared = Logins.spared(found);
        return spared.isEmpty() ? began : rows(found.getRealm().getId(), found.getUser().getId(), began).stream()
                .filter(row -> spared.contains(row.txn)).mapToLong(row -> row.watermarkMs + 1).max().orElse(began);
    }

    /** Milliseconds. The newest watermark of the user, also one that ends one session alone, or 0. */
    public long newest(RealmModel realm, String userId) {
        return rows(realm.getId(), userId, 0).stream().filter(row -> !row.linksOnly).mapToLong(row -> row.watermarkMs).max().orElse(0);
    }

    /** Whether any event has ended something of the user: what an event leaves behind is asked for only then. */
    public boolean hasWatermark(RealmModel realm, String userId) {
        return newest(realm, userId) > 0;
    }

    private List<WatermarkRow> rows(String realmId, String userId, long beganMs) {
        String key = key(realmId, userId);
        Known before = known.get(key);
        if (before == null || before.fromMs() > beganMs) {
            before = new Known(beganMs, Watermarks.since(session, realmId, userId, beganMs));
            known.put(key, before);
        }
        List<WatermarkRow> own = closing.stream().filter(row -> row.realmId.equals(realmId)
                && (row.userId.equals(userId) || row.userId.equals(Watermarks.EVERYBODY))).toList();
        if (own.isEmpty()) {
            return before.rows();
        }
        List<WatermarkRow> all = new ArrayList<>(own);
        all.addAll(before.rows());
        return all;
    }

    /** The session of that id is alive as far as this request is concerned. */
    void pass(Login login) {
        passed.put(login.sid(), login);
        atCommit.watch(login);
    }

    boolean hasPassed(String sid) {
        return passed.containsKey(sid);
    }

    /** The events that the user's sessions go on after which this request goes by. */
    Set<String> spared(String userId) {
        Set<String> spared = new HashSet<>();
        passed.values().stream().filter(login -> login.userId().equals(userId)).forEach(login -> spared.addAll(login.spared()));
        return spared;
    }
}
